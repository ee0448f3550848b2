<?php

// One picture out of the folder, by its name.

$name = basename($_GET['name'] ?? '');
$file = '/data/things/' . $name;
$type = ['png' => 'image/png', 'jpg' => 'image/jpeg', 'gif' => 'image/gif'][pathinfo($name, PATHINFO_EXTENSION)] ?? null;
if ($type === null || !is_file($file)) {
    http_response_code(404);
    exit('There is no such picture.');
}
header("Content-Type: $type");
header('Content-Length: ' . filesize($file));
header('Cache-Control: max-age=86400');
readfile($file);
