<?php

// What this page can reach, tried out.

/** What PHP says when it refuses, or what it gave. */
function attempt(callable $action): array
{
    error_clear_last();
    $got = @$action();
    if ($got !== false && $got !== null) {
        return [true, is_string($got) ? strtok($got, "\n") : json_encode($got)];
    }
    $said = preg_replace('/^.*(Failed to open (stream|directory|dir)|fsockopen\(\): |failed to open dir): ?/i', '', error_get_last()['message'] ?? 'it is not there');

    return [false, $said];
}

$attempts = [
    'read /etc/passwd' => fn () => file_get_contents('/etc/passwd'),
    'list /' => fn () => scandir('/'),
    'list /home' => fn () => scandir('/home'),
    'read the app next door' => fn () => file_get_contents(__DIR__ . '/../berths/app.py'),
    'write into its own program' => fn () => file_put_contents(__DIR__ . '/index.php', '<?php'),
    'read PATH and HOME' => fn () => getenv('PATH') ?: getenv('HOME'),
    'ask http://127.0.0.1:22/' => fn () => file_get_contents('http://127.0.0.1:22/'),
    'ask https://example.com/' => fn () => file_get_contents('https://example.com/'),
    'dial 127.0.0.1:5432' => fn () => (bool) fsockopen('127.0.0.1', 5432, $code, $text, 2),
    'run a program' => fn () => shell_exec('id'),
    'write into its folder' => fn () => file_put_contents('/data/reached.txt', "here\n") . ' bytes',
    'ask for the tides' => fn () => file_get_contents(getenv('TIDES')),
];

$title = 'What it can reach';
$tides = null;
require 'include/head.php';
?>
<p>This page tries things that a program on a web server can usually do. Two of them it was granted.</p>
<table>
<?php foreach ($attempts as $name => $action) { [$good, $said] = attempt($action); ?>
  <tr class="<?= $good ? 'good' : 'bad' ?>"><td><?= htmlspecialchars($name) ?></td><td><?= $good ? 'done' : 'refused' ?></td><td><?= htmlspecialchars($said) ?></td></tr>
<?php } ?>
</table>
<?php require 'include/foot.php';
