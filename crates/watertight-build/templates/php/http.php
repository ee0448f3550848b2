<?php

// Answers GET /NAME with a greeting. Each request has an interpreter of its own: nothing is left of the one before.

require __DIR__ . '/_greeting.php';

header('Content-Type: text/plain; charset=utf-8');
echo greet(trim($_SERVER['PATH_INFO'] ?? '', '/')), "\n";
