<?php

// The lost property office of the harbour: what was found, with pictures, and a form to hand something in.

session_start();

const FOLDER = '/data/things';
const TYPES = [IMAGETYPE_PNG => 'png', IMAGETYPE_JPEG => 'jpg', IMAGETYPE_GIF => 'gif'];

function hand_in(): string
{
    $what = trim($_POST['what'] ?? '');
    $where = trim($_POST['where'] ?? '');
    $_SESSION['finder'] = trim($_POST['finder'] ?? '');
    if ($what === '' || $where === '') {
        return 'Please say what it is and where it was found.';
    }
    if (!is_dir(FOLDER)) {
        mkdir(FOLDER);
    }
    $thing = ['what' => $what, 'where' => $where, 'finder' => $_SESSION['finder'], 'when' => date('Y-m-d H:i'), 'picture' => null];
    $picture = $_FILES['picture'] ?? null;
    if ($picture && $picture['error'] !== UPLOAD_ERR_NO_FILE) {
        $size = $picture['error'] === UPLOAD_ERR_OK ? getimagesize($picture['tmp_name']) : false;
        if (!$size || !isset(TYPES[$size[2]])) {
            return 'The picture has to be a PNG, JPEG or GIF of at most 4 MB.';
        }
        $thing['picture'] = bin2hex(random_bytes(8)) . '.' . TYPES[$size[2]];
        move_uploaded_file($picture['tmp_name'], FOLDER . '/' . $thing['picture']);
    }
    file_put_contents(FOLDER . '/' . uniqid() . '.json', json_encode($thing));
    $_SESSION['handed_in'] = ($_SESSION['handed_in'] ?? 0) + 1;

    return 'Thank you. It is in the list now.';
}

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    // So that loading the page again hands nothing in twice.
    $_SESSION['said'] = hand_in();
    header('Location: ./');
    exit;
}

$said = $_SESSION['said'] ?? '';
unset($_SESSION['said']);
$things = array_map(fn ($file) => json_decode(file_get_contents($file), true), array_reverse(glob(FOLDER . '/*.json')));
$tides = json_decode(@file_get_contents(getenv('TIDES')) ?: 'null', true);

$title = 'Lost property';
require 'include/head.php';
?>
<?php if ($said) { ?>
<p class="said"><?= htmlspecialchars($said) ?></p>
<?php } ?>
<form method="post" enctype="multipart/form-data" action="<?= htmlspecialchars($_SERVER['PHP_SELF']) ?>">
  <h2>Hand something in</h2>
  <label>What is it? <input name="what" required></label>
  <label>Where was it? <input name="where" required></label>
  <label>Who found it? <input name="finder" value="<?= htmlspecialchars($_SESSION['finder'] ?? '') ?>"></label>
  <label>A picture <input name="picture" type="file" accept="image/*"></label>
  <button>Hand it in</button>
<?php if (!empty($_SESSION['handed_in'])) { ?>
  <p class="small">You have handed in <?= $_SESSION['handed_in'] ?> so far. Thank you.</p>
<?php } ?>
</form>
<section class="cards">
<?php foreach ($things as $thing) { ?>
  <article>
<?php if ($thing['picture']) { ?>
    <img src="picture.php?name=<?= urlencode($thing['picture']) ?>" alt="">
<?php } ?>
    <h3><?= htmlspecialchars($thing['what']) ?></h3>
    <p><?= htmlspecialchars($thing['where']) ?></p>
    <p class="small"><?= htmlspecialchars(($thing['finder'] ?: 'somebody') . ', ' . $thing['when']) ?></p>
  </article>
<?php } ?>
<?php if (!$things) { ?>
  <p>Nothing has been found yet.</p>
<?php } ?>
</section>
<?php require 'include/foot.php';
