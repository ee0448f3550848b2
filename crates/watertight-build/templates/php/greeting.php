<?php

// What the program does, apart from how it is called. What begins with `_` is for the others to include, and no page.

function greet(string $name): string
{
    return 'Hello, ' . ($name !== '' ? $name : 'world') . '!';
}
