//! PHP.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
};

use http::Request;
use tempfile::TempDir;

use crate::{
    battery,
    client::Client,
    program::{Server, run},
};

battery!("php");

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap_or(Path::new(""))).expect("the temporary folder is writable");
        fs::write(file, text).expect("the temporary folder is writable");
    }
    folder
}

#[test]
fn what_php_has_without_a_library_is_there() {
    let folder = folder(&[
        (
            "app.php",
            r#"<?php
echo PHP_VERSION_ID >= 80200 && PHP_VERSION_ID < 80300 ? 'ok' : PHP_VERSION, ' ', PHP_INT_SIZE, ' ', php_sapi_name(), ' ', PHP_SAPI, "\n";
echo PHP_INT_MAX, ' ', intdiv(PHP_INT_MIN, 3), ' ', 0xFFFFFFFF + 1, ' ', hexdec('7fffffffffff'), ' ', 1 << 40, "\n";
echo json_encode(json_decode('{"a":"ä","n":12345678901234567,"f":1.5}'), JSON_UNESCAPED_UNICODE), ' ', mb_strtoupper('grün'), ' ', iconv('UTF-8', 'ISO-8859-1', 'ü') === "\xfc" ? 'latin' : '?', "\n";
echo preg_replace_callback('/(\p{L}+)/u', fn ($m) => mb_strtoupper($m[1]), 'abc déf'), ' ', hash('sha256', '') === hash('sha256', '') ? substr(hash('xxh3', 'a'), 0, 4) : '', ' ', crc32('a'), ' ', bcmul('99999999999', '99999999999'), "\n";
echo (new DateTimeImmutable('2024-02-29', new DateTimeZone('Europe/Berlin')))->modify('+1 year')->format(DATE_ATOM), ' ', jdtogregorian(2460000), ' ', date('Y', 4102444800), "\n";
echo count(token_get_all('<?php echo 1;')), ' ', ctype_alpha('abc') ? 'alpha' : '', ' ', filter_var('a@b.example', FILTER_VALIDATE_EMAIL), ' ', password_verify('x', password_hash('x', PASSWORD_BCRYPT, ['cost' => 4])) ? 'hashed' : '', "\n";
enum Suit: string { case Hearts = 'H'; }
readonly class Point { public function __construct(public int $x) {} }
function gen() { $x = yield 1; echo $x; yield from [2, 3]; }
$g = gen(); $g->current(); $g->send('sent '); echo Suit::from('H')->name, ' ', (new Point(x: 3))->x, ' ', match (true) { default => 'matched' }, "\n";
try { (new Fiber(fn () => 1))->start(); } catch (Throwable $e) { echo get_class($e), "\n"; }
try { intdiv(1, 0); } catch (DivisionByZeroError $e) { echo $e->getMessage(), "\n"; }
function depth($n) { return $n ? 1 + depth($n - 1) : 0; }
echo depth(50000), ' ', array_sum(range(1, 100000)), ' ', strlen(str_repeat('x', 20 << 20)), "\n";
file_put_contents('/tmp/a.txt', 'set aside'); mkdir('/tmp/d'); file_put_contents('/tmp/d/b', '2');
$t = tmpfile(); fwrite($t, str_repeat('y', 100000)); fseek($t, -5, SEEK_END);
echo file_get_contents('/tmp/a.txt'), ' ', implode(',', preg_grep('/^(php|\.)/', scandir('/tmp'), PREG_GREP_INVERT)), ' ', filesize('/tmp/d/b'), ' ', fread($t, 99), ' ', strlen(tempnam('/tmp', 'z')), ' ', implode(',', glob('/tmp/*.txt')), "\n";
rename('/tmp/a.txt', '/tmp/d/c'); unlink('/tmp/d/b'); echo file_exists('/tmp/a.txt') ? 'still' : 'moved', ' ', @rmdir('/tmp/d') ? 'gone' : 'not empty', "\n";
include __DIR__ . '/lib/part.php';
spl_autoload_register(fn ($class) => require __DIR__ . '/vendor/' . strtr($class, '\\', '/') . '.php');
echo Some\Package\Thing::name(), "\n";
error_log('to the log');
fwrite(STDERR, "to stderr\n");
register_shutdown_function(function () { echo "goodbye\n"; });
exit(3);
"#,
        ),
        ("lib/part.php", "<?php echo basename(__DIR__), ' ', dirname(__DIR__), \"\\n\";"),
        (
            "vendor/Some/Package/Thing.php",
            "<?php namespace Some\\Package; class Thing { static function name() { return self::class; } }",
        ),
    ]);
    let script = folder.path().join("app.php");
    let done = run(&["run", script.to_str().expect("test paths are text")]);
    let expected = "\
ok 8 cli cli
9223372036854775807 -3074457345618258602 4294967296 140737488355327 1099511627776
{\"a\":\"ä\",\"n\":12345678901234567,\"f\":1.5} GRÜN latin
ABC DÉF e6c6 3904355907 9999999999800000000001
2025-03-01T00:00:00+01:00 2/24/2023 2100
5 alpha a@b.example hashed
sent Hearts 3 matched
Exception
Division by zero
50000 5000050000 20971520
set aside a.txt,d 1 yyyyy 12 /tmp/a.txt
moved not empty
lib /app
Some\\Package\\Thing
goodbye
";
    assert_eq!(done.text(), expected, "{}", done.stderr);
    assert_eq!((done.code, done.stderr.as_str()), (Some(3), "to the log\nto stderr\n"));
}

/// An app of pages, with a folder granted at `/data` and what else the test says.
fn pages(grants: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = folder(files);
    fs::create_dir_all(folder.path().join("data")).expect("the temporary folder is writable");
    let manifest = format!(
        "[app]\nname = \"pages\"\n[component.web]\nsource = \"site/index.php\"\n\
         budget = {{ memory = \"128MiB\", cpu = \"30s\", deadline = \"60s\" }}\n\
         [component.web.grants]\nstdio = true\n{grants}\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
    );
    fs::write(folder.path().join("watertight.toml"), manifest).expect("the temporary folder is writable");
    folder
}

const DATA: &str = "dirs = [{ host = \"data\", guest = \"/data\", mode = \"rw\" }]";

#[test]
fn a_page_finds_what_a_web_server_gives_it() {
    let folder = pages(
        "",
        &[(
            "site/index.php",
            r#"<?php
header('Content-Type: text/plain; charset=utf-8');
header('X-Two: a', false);
header('X-Two: b', false);
setcookie('seen', 'yes no', ['path' => '/', 'httponly' => true]);
foreach (['REQUEST_METHOD', 'REQUEST_URI', 'QUERY_STRING', 'SCRIPT_NAME', 'PATH_INFO', 'PHP_SELF', 'HTTP_X_ASKED', 'CONTENT_TYPE', 'HTTPS'] as $name) {
    echo $name, '=', $_SERVER[$name] ?? '-', "\n";
}
echo php_sapi_name(), ' ', json_encode([$_GET, $_POST, $_COOKIE, $_REQUEST['b'] ?? null]), ' ', file_get_contents('php://input'), "\n";
"#,
        )],
    );
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let sent = Request::post("/some/where?a[]=1&a[]=%C3%BC&b=2")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", "k=v; seen=1")
        .header("x-asked", "it is");
    let answer = client.send(sent, "b=3&c%5Bd%5D=x+y");
    assert_eq!(answer.headers()["set-cookie"], "seen=yes%20no; path=/; HttpOnly");
    assert_eq!(answer.headers().get_all("x-two").iter().collect::<Vec<_>>(), ["a", "b"]);
    let expected = "\
REQUEST_METHOD=POST
REQUEST_URI=/some/where?a[]=1&a[]=%C3%BC&b=2
QUERY_STRING=a[]=1&a[]=%C3%BC&b=2
SCRIPT_NAME=/index.php
PATH_INFO=/some/where
PHP_SELF=/some/where
HTTP_X_ASKED=it is
CONTENT_TYPE=application/x-www-form-urlencoded
HTTPS=-
cgi-fcgi [{\"a\":[\"1\",\"\\u00fc\"],\"b\":\"2\"},{\"b\":\"3\",\"c\":{\"d\":\"x y\"}},{\"k\":\"v\",\"seen\":\"1\"},\"3\"] b=3&c%5Bd%5D=x+y
";
    assert_eq!(String::from_utf8_lossy(answer.body()), expected);
}

#[test]
fn statuses_redirects_exits_and_errors_are_those_of_php() {
    let folder = pages(
        "",
        &[
            (
                "site/index.php",
                r#"<?php
switch ($_SERVER['PATH_INFO'] ?? '') {
    case '/moved': header('Location: /there'); exit;
    case '/gone': http_response_code(410); exit('gone');
    case '/line': header('HTTP/1.1 418 Short and stout'); break;
    case '/cgi': header('Status: 409 Conflict'); echo 'conflict'; break;
    case '/warning': echo $undefined; echo 'went on'; break;
    case '/late': for ($i = 0; $i < 100; $i++) echo str_repeat('x', 1000); flush(); throw new Exception('kaboom late');
    case '/handled': set_exception_handler(function ($e) { http_response_code(503); echo 'sorry'; error_log($e->getMessage()); }); throw new Exception('kaboom handled');
    case '/shown': ini_set('display_errors', '1'); throw new Exception('kaboom shown');
    case '/page': register_shutdown_function(function () { if (error_get_last()) echo 'a page of its own'; }); nothing_like_it();
    case '/syntax': require __DIR__ . '/_syntax.php'; break;
    case '/head': header("X-Bad: a\r\nInjected: yes"); break;
    case '/setting': echo ini_get('upload_max_filesize'); break;
    case '/loop': function f() { f(); } f(); break;
    default: echo 'home';
}
"#,
            ),
            ("site/_syntax.php", "<?php echo 1 +;"),
            (
                "site/sub/page.php",
                "<?php echo basename(getcwd()), ' ', $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PHP_SELF'], ' ', $_SERVER['PATH_INFO'] ?? '-'; include 'beside.inc';",
            ),
            ("site/sub/beside.inc", "<?php echo ' beside';"),
            ("site/sub/index.php", "<?php echo 'below';"),
            ("site/style.css", "body {}"),
            ("site/.user.ini", "upload_max_filesize = 3M\ndisplay_startup_errors = 0\n"),
        ],
    );
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    for (path, status, text) in [
        ("/", 200, "home"),
        ("/other", 200, "home"),
        ("/index.php/gone", 410, "gone"),
        ("/moved", 302, ""),
        ("/line", 418, ""),
        ("/cgi", 409, "conflict"),
        ("/warning", 200, "went on"),
        ("/handled", 503, "sorry"),
        ("/setting", 200, "3M"),
        ("/page", 500, "a page of its own"),
        ("/syntax", 500, "Internal Server Error\n"),
        ("/sub/page.php?x", 200, "sub /sub/page.php /sub/page.php - beside"),
        ("/sub/", 200, "below"),
        ("/style.css", 200, "body {}"),
        // Neither what is hidden, nor what is included, nor what lies elsewhere: the page says what it says of any path.
        ("/.user.ini", 200, "home"),
        ("/_syntax.php", 200, "home"),
        ("/sub/beside.inc", 200, "home"),
        ("/sub/../.user.ini", 200, "home"),
        ("/..%2fwatertight.toml", 200, "home"),
    ] {
        assert_eq!(client.get(path), (status, text.to_owned()), "{path}");
    }
    assert_eq!(client.send(Request::get("/moved"), "").headers()["location"], "/there");
    let shown = client.get("/shown");
    assert!(shown.0 == 200 && shown.1.contains("kaboom shown"), "it asked for that: {shown:?}");
    assert!(!client.send(Request::get("/head"), "").headers().contains_key("injected"));
    server.log("Undefined variable $undefined");
    let head = client.send(Request::head("/sub/page.php"), "");
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
}

#[test]
fn an_answer_that_fails_after_it_began_is_cut_off() {
    let folder =
        pages("", &[("site/index.php", "<?php echo str_repeat('x', 100000); flush(); throw new Exception('kaboom');")]);
    let mut server = Server::start(folder.path());
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("it reads");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("the connection ends");
    let text = String::from_utf8_lossy(&text);
    // How much of it has left by then is not said.
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(!text.ends_with("\r\n0\r\n\r\n") && !text.contains("kaboom"), "the end is missing");
    server.log("kaboom");
}

#[test]
fn sessions_are_kept_in_a_granted_folder() {
    let page = "<?php session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; echo $_SESSION['n'];";
    let folder =
        pages("dirs = [{ host = \"data\", guest = \"/sessions\", mode = \"rw\" }]", &[("site/index.php", page)]);
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let first = client.send(Request::get("/"), "");
    let cookie = first.headers()["set-cookie"].to_str().expect("it is text").to_owned();
    assert!(cookie.starts_with("PHPSESSID=") && cookie.ends_with("path=/; HttpOnly"), "{cookie}");
    let id = cookie.split(';').next().expect("it has a value").to_owned();
    for n in 2..5 {
        let answer = client.send(Request::get("/").header("cookie", &id), "");
        assert_eq!(answer.body(), &n.to_string());
    }
    let other = client.send(Request::get("/"), "");
    assert_eq!(other.body(), "1", "another visitor");
    assert_ne!(other.headers()["set-cookie"], cookie, "ids are not frozen in");
    // An id that somebody made up is not taken over.
    let forged = client.send(Request::get("/").header("cookie", "PHPSESSID=forgedforgedforgedforged12"), "");
    assert_eq!(forged.body(), "1");
    assert!(forged.headers().contains_key("set-cookie"));
}

#[test]
fn a_session_that_cannot_be_kept_says_so() {
    let page = "<?php session_start(); $_SESSION['n'] = 1; echo 'went on';";
    let folder = pages("", &[("site/index.php", page)]);
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    assert_eq!(client.get("/"), (200, "went on".to_owned()));
    server.log("/sessions");
}

#[test]
fn uploads_need_no_grant_until_they_are_kept() {
    let page = r#"<?php
$file = $_FILES['file'];
$many = $_FILES['many']['name'] ?? [];
echo $file['name'], ' ', $file['type'], ' ', $file['size'], ' ', $file['error'], ' ', md5_file($file['tmp_name']), ' ', implode('+', $many), ' ', $_POST['note'], "\n";
echo is_uploaded_file($file['tmp_name']) ? 'uploaded' : 'no', ' ', is_uploaded_file('/app/index.php') ? 'fooled' : 'safe', "\n";
echo move_uploaded_file($file['tmp_name'], '/data/kept.bin') ? 'kept' : 'lost', ' ', filesize('/data/kept.bin');
"#;
    let folder = pages(DATA, &[("site/index.php", page)]);
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\ngr\xc3\xbcn\r\n\
        --x\r\nContent-Disposition: form-data; name=\"many[]\"; filename=\"a.txt\"\r\n\r\na\r\n\
        --x\r\nContent-Disposition: form-data; name=\"many[]\"; filename=\"b.txt\"\r\n\r\nb\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"c.bin\"\r\nContent-Type: image/x\r\n\r\n"
        .to_vec();
    body.extend(&content);
    body.extend(b"\r\n--x--\r\n");
    let sent = Request::post("/").header("content-type", "multipart/form-data; boundary=x");
    let answer = client.send(sent, body);
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("c.bin image/x 3000000 0 ") && first.ends_with(" a.txt+b.txt grün"), "{text}");
    assert_eq!((lines.next(), lines.next()), (Some("uploaded safe"), Some("kept 3000000")), "{text}");
    assert!(fs::read(folder.path().join("data/kept.bin")).expect("it was kept") == content, "every byte is there");
}

#[test]
fn a_folder_that_is_granted_as_tmp_is_used_as_that() {
    let page = "<?php echo file_put_contents('/tmp/note', 'kept'), file_get_contents('/tmp/note'), strlen(tempnam('/tmp', 'z'));";
    let folder = pages("dirs = [{ host = \"data\", guest = \"/tmp\", mode = \"rw\" }]", &[("site/index.php", page)]);
    let server = Server::start(folder.path());
    assert_eq!(Client::new(server.address).get("/"), (200, "4kept12".to_owned()));
    assert_eq!(fs::read_to_string(folder.path().join("data/note")).expect("it was kept"), "kept");
}

/// A host that says what it was asked, once for each connection.
pub(crate) fn host() -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let answering = thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut text, mut room) = (Vec::new(), [0; 4096]);
            while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                let n = stream.read(&mut room).expect("it is sent");
                text.extend(&room[..n]);
                if n == 0 {
                    break;
                }
            }
            let head = String::from_utf8_lossy(&text).into_owned();
            let lower = head.to_lowercase();
            let length = lower.split_once("content-length: ").and_then(|(_, rest)| rest.split_once('\r'));
            let length: usize = length.map_or(0, |(length, _)| length.parse().expect("it is a number"));
            let at = head.find("\r\n\r\n").map_or(text.len(), |at| at + 4);
            while text.len() < at + length {
                let n = stream.read(&mut room).expect("it is sent");
                text.extend(&room[..n]);
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let (status, more) = match path {
                "/moved" => ("302 Found", "location: /there?x=1\r\n"),
                "/gone" => ("404 Not Found", ""),
                "/stop" => return,
                _ => ("200 OK", "x-answered: yes\r\n"),
            };
            let mut lines: Vec<&str> = text.split("\r\n").collect();
            lines[1..].sort_unstable();
            let seen = lines.iter().filter(|line| !line.to_lowercase().starts_with("host:") && !line.is_empty());
            let body = seen.copied().collect::<Vec<_>>().join("|");
            let answer =
                format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, answering)
}

#[test]
fn addresses_are_files_where_the_host_is_granted() {
    let (address, answering) = host();
    let page = r#"<?php
$at = 'http://' . getenv('AT');
echo file_get_contents("$at/one?a=b"), "\n", $http_response_header[0], ' ', implode(',', preg_grep('/^x-answered/i', $http_response_header)), "\n";
$post = stream_context_create(['http' => ['method' => 'POST', 'header' => ['X-A: 1', 'Accept: text/plain'], 'content' => http_build_query(['k' => 'v w']), 'user_agent' => 'tests']]);
echo file_get_contents("$at/two", false, $post), "\n";
echo strtok(file_get_contents("$at/moved"), '|'), "\n";
echo @file_get_contents("$at/gone") === false ? error_get_last()['message'] : 'there', "\n";
echo strtok(file_get_contents("$at/gone", false, stream_context_create(['http' => ['ignore_errors' => true]])), '|'), "\n";
$file = fopen("$at/three", 'r'); echo fgets($file, 9), ' ', count(stream_get_meta_data($file)['wrapper_data']) > 1 ? 'headers' : '', "\n"; fclose($file);
copy("$at/four", '/tmp/copied'); echo filesize('/tmp/copied') > 10 ? 'copied' : 'not', "\n";
for ($i = 0; $i < 40; $i++) strlen(file_get_contents("$at/$i")) > 5 or die('stuck');
foreach (['http://127.0.0.1:9/', 'https://example.com/'] as $other) {
    echo @file_get_contents($other) === false ? preg_replace('/^.*: /', '', error_get_last()['message']) : 'there', "\n";
}
echo @file_put_contents("$at/five", 'x') === false ? 'not written' : 'written', "\n";
"#;
    let grants = format!("http = [\"http://{address}\"]\nenv = {{ AT = \"{address}\" }}");
    let folder = pages(&grants, &[("site/index.php", page)]);
    let server = Server::start(folder.path());
    let (status, text) = Client::new(server.address).get("/");
    assert_eq!(status, 200);
    let expected = "\
GET /one?a=b HTTP/1.1|user-agent: PHP
HTTP/1.1 200 x-answered: yes
POST /two HTTP/1.1|accept: text/plain|content-length: 5|content-type: application/x-www-form-urlencoded|k=v+w|user-agent: tests|x-a: 1
GET /there?x=1 HTTP/1.1
file_get_contents(http://HOST/gone): Failed to open stream: HTTP request failed! HTTP/1.1 404
GET /gone HTTP/1.1
GET /thr headers
copied
the host is not granted
the host is not granted
not written
";
    assert_eq!(text.replace(&address.to_string(), "HOST"), expected);
    let _ = TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n"));
    answering.join().expect("it does not panic");
}

#[test]
fn files_of_php_become_routes() {
    let show = "<?php echo basename(__FILE__), ' ', $_SERVER['PATH_INFO'] ?? '-', ' ', $_SERVER['PHP_SELF'];";
    let folder = folder(&[
        ("index.php", show),
        ("shop.php", show),
        ("api/[id].php", show),
        ("deep/page.php", show),
        ("_lib.php", show),
        ("style.css", "body {}"),
    ]);
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    for (path, status, text) in [
        ("/", 200, "index.php - /index.php"),
        ("/index.php", 200, "index.php - /index.php"),
        ("/shop", 200, "shop.php - /shop.php"),
        ("/shop.php?a", 200, "shop.php - /shop.php"),
        ("/api/7", 200, "[id].php /api/7 /api/7"),
        ("/deep/page", 200, "page.php - /deep/page.php"),
        ("/deep/page.php", 200, "page.php - /deep/page.php"),
        ("/style.css", 200, "body {}"),
        ("/_lib", 404, "not found\n"),
        ("/_lib.php", 404, "not found\n"),
    ] {
        assert_eq!(client.get(path), (status, text.to_owned()), "{path}");
    }
}
