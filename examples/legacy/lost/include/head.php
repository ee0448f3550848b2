<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><?= htmlspecialchars($title) ?></title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<h1><?= htmlspecialchars($title) ?></h1>
<nav><a href="/">Lost property</a> <a href="/berths/">Berths</a> <a href="/reach.php">What it can reach</a><?php if ($tides) { ?> <span>High water <?= htmlspecialchars($tides['high']) ?>, low water <?= htmlspecialchars($tides['low']) ?></span><?php } ?></nav>
</header>
<main>
