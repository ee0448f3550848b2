<?php

// Greets everyone who is named.

require __DIR__ . '/_greeting.php';

foreach (array_slice($argv, 1) ?: [''] as $name) {
    echo greet($name), "\n";
}
