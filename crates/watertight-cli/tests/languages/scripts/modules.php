<?php
// What a script does with other components: the same paths in every language.

use Watertight\ModuleError;
use Watertight\Test\{Behave, Types};

error_log("loading");
header("content-type: text/plain; charset=utf-8");

$person = ["name" => "Ada ü", "age" => 36, "tags" => ["x", ""], "home" => ["x" => -1, "y" => 2]];

// A function, what it is given, and what it gives, if that is another value.
$values = [
    ["bools", true],
    ["u8s", 255],
    ["s8s", -128],
    ["u32s", 65536],
    ["u32s", 4294967295],
    ["s32s", -2147483647 - 1],
    ["u64s", 7],
    ["f32s", 0.5],
    ["f64s", 1e300],
    ["f64s", 3, 3.0],
    ["u8s", 3.0, 3],
    ["chars", "ß"],
    ["strings", "two\0 ✓ 😀"],
    ["bytes", "\0\xff\1"],
    ["bytes", [1, 2], "\1\2"],
    ["wideList", [1, 2]],
    ["stringList", ["a", "", "ü"]],
    ["listList", [[], ["a"], ["b", "c"]]],
    ["points", (object) ["x" => 1, "y" => -2], ["x" => 1, "y" => -2]],
    ["persons", $person],
    ["personList", [$person, $person]],
    ["tuples", [1, "two", 3.5, ["x" => 4, "y" => 5]]],
    ["colours", "green"],
    ["shapes", "nothing", ["tag" => "nothing"]],
    ["shapes", ["tag" => "named", "val" => "dot"]],
    ["shapes", ["tag" => "many", "val" => [["tag" => "of", "val" => "red"], ["tag" => "grey", "val" => 3]]]],
    ["fews", ["a", "c"]],
    ["nines", []],
    ["options", null],
    ["options", 5],
    ["optionOptions", ["tag" => "some", "val" => null]],
    ["optionOptions", ["tag" => "none"]],
    ["results", ["tag" => "ok", "val" => 1], 1],
    ["resultList", [["tag" => "ok", "val" => "a"], ["tag" => "ok", "val" => null], ["tag" => "err", "val" => "\x09"]]],
];

function values(array $values): string
{
    $wrong = [];
    foreach ($values as $value) {
        $got = Types::{$value[0]}($value[1]);
        if ($got !== (array_key_exists(2, $value) ? $value[2] : $value[1])) $wrong[] = $value[0] . ": " . var_export($got, true);
    }
    if (!is_nan(Types::f64s(NAN))) $wrong[] = "f64s";
    if (Types::nothing() !== null) $wrong[] = "nothing";
    if (Types::sixteen(...range(1, 16)) !== 136) $wrong[] = "sixteen";
    if (strlen(Types::stringsAndMore("a", "b", "c", "d", "e", "f", "g", "h", 1, ["i"])) < 9) $wrong[] = "stringsAndMore";
    return implode("\n", $wrong) ?: "all values are the same";
}

$mistakes = [
    "type" => fn() => Types::u8s("one"),
    "range" => fn() => Types::u8s(256),
    "count" => fn() => Types::u8s(1, 2),
    "field" => fn() => Types::points(["x" => 1, "z" => 2]),
    "lacks" => fn() => Types::persons(["name" => "x", "tags" => [], "home" => ["x" => 1]]),
    "case" => fn() => Types::colours("mauve"),
    "function" => fn() => Types::bytes(fn() => 1),
];

function caught(callable $action): string
{
    try {
        return "returned " . $action();
    } catch (ModuleError $error) {
        return "ModuleError $error->kind " . ($error->payload ?? "null") . ": " . $error->getMessage();
    } catch (TypeError $error) {
        return "mistake: " . $error->getMessage();
    }
}

[, $what, $which] = explode("/", parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH) . "/");
echo match ($what) {
    "values" => values($values),
    "run" => caught(fn() => Behave::run((int) $which)),
    "quiet" => caught(fn() => Behave::quiet((int) $which)),
    "plain" => caught(fn() => Behave::plain((int) $which)),
    "mistake" => caught($mistakes[$which]),
    "unknown" => class_exists("Watertight\\Test\\Nowhere") ? "there" : "nowhere",
    "uncaught" => Behave::plain(1),
};
