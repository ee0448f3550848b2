<?php
// The newest of the site as an Atom feed. It may read the content folder, and that is all it may do.
header('Content-Type: application/atom+xml; charset=utf-8');

$base = 'http://' . ($_SERVER['HTTP_HOST'] ?? 'localhost');
$pages = [];
foreach (glob('/content/*.md') as $file) {
    $text = file_get_contents($file);
    $name = basename($file, '.md');
    $pages[] = [
        'link' => "$base/" . rawurlencode($name),
        'title' => preg_match('/^# (.+)$/m', $text, $heading) ? $heading[1] : $name,
        // The first paragraph, without its Markdown.
        'summary' => preg_match('/^[^#!>|`\s].+?(?=\n\n|\z)/ms', $text, $first)
            ? preg_replace(['/\[([^\]]*)\]\([^)]*\)/', '/[*_`]/', '/\s+/'], ['$1', '', ' '], $first[0])
            : '',
        'updated' => filemtime($file),
    ];
}
usort($pages, fn($a, $b) => [$b['updated'], $a['title']] <=> [$a['updated'], $b['title']]);
$xml = fn($text) => htmlspecialchars($text, ENT_XML1 | ENT_QUOTES, 'UTF-8');
?>
<?= '<?xml version="1.0" encoding="utf-8"?>' . "\n" ?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title>press</title>
  <id><?= $xml($base) ?>/</id>
  <link rel="self" href="<?= $xml($base) ?>/feed.xml"/>
  <updated><?= date(DATE_ATOM, $pages[0]['updated'] ?? 0) ?></updated>
<?php foreach ($pages as $page): ?>
  <entry>
    <title><?= $xml($page['title']) ?></title>
    <id><?= $xml($page['link']) ?></id>
    <link href="<?= $xml($page['link']) ?>"/>
    <updated><?= date(DATE_ATOM, $page['updated']) ?></updated>
    <summary><?= $xml($page['summary']) ?></summary>
  </entry>
<?php endforeach ?>
</feed>
