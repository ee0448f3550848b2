<?php

require __DIR__ . '/_greeting.php';

$tests = [
    'someone is greeted by name' => greet('Ada') === 'Hello, Ada!',
    'everyone is greeted without one' => greet('') === 'Hello, world!',
];
foreach ($tests as $name => $passed) {
    echo $passed ? 'ok      ' : 'FAILED  ', $name, "\n";
}
exit(in_array(false, $tests, true) ? 1 : 0);
