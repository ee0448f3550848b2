#!/usr/bin/env php
<?php

function denied(callable $action): string
{
    return @$action() === false ? 'denied' : 'allowed';
}

switch ($argv[1]) {
    case 'echo':
        echo implode(' ', array_slice($argv, 2)), "\n";
        break;
    case 'cat':
        fwrite(STDOUT, stream_get_contents(STDIN));
        break;
    case 'exit':
        exit((int) $argv[2]);
    case 'fail':
        throw new RuntimeException('kaboom');
    case 'reach':
        $file = denied(fn () => file_get_contents('/etc/passwd'));
        $host = denied(fn () => fsockopen('127.0.0.1', 9, $code, $text, 5));
        echo "$file $host ", getenv() ? 'allowed' : 'denied', "\n";
        break;
}
