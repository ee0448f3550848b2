<?php

$count = 0;

/** Whether PHP refuses: its functions warn and return false. */
function denied(callable $action): string
{
    return @$action() === false ? 'denied' : 'allowed';
}

header('Content-Type: text/plain; charset=utf-8');
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/hello':
        echo 'hello ', $_GET['name'];
        break;
    case '/echo':
        header('Content-Type: ' . ($_SERVER['CONTENT_TYPE'] ?? 'application/octet-stream'));
        header('X-Asked: ' . ($_SERVER['HTTP_X_ASKED'] ?? ''));
        $body = fopen('php://input', 'rb');
        while (!feof($body)) {
            echo fread($body, 65536);
        }
        break;
    case '/boom':
        throw new RuntimeException('kaboom');
    case '/count':
        echo ++$count;
        break;
    case '/chance':
        echo hrtime(true), ':', time(), ' ', mt_rand(), ' ', bin2hex(random_bytes(8));
        break;
    case '/write':
        file_put_contents('/data/note.txt', $_GET['text']);
        echo 'written';
        break;
    case '/read':
        readfile('/data/note.txt');
        break;
    case '/variables':
        echo http_build_query(getenv(), '', ' ');
        break;
    case '/own':
        echo 'read ', strlen(file_get_contents(__FILE__)), ' ', denied(fn () => file_put_contents(__DIR__ . '/new.txt', ''));
        break;
    case '/passwd':
        echo denied(fn () => file_get_contents('/etc/passwd'));
        break;
    case '/dial':
        echo denied(fn () => fsockopen('127.0.0.1', 9, $code, $text, 5));
        break;
    default:
        http_response_code(404);
        echo 'nothing here';
}
