"""`/api/schema/types.ts` has a type for each schema, and compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from orders.api.schema import typescript as made
from orders.api.schema.asyncapi import asyncapi
from orders.api.schema.openapi import openapi
from orders.api.schema.typescript import declaration, type_of, typescript
from tests.support.client import get

SCHEMAS = openapi()["components"]["schemas"] | asyncapi()["components"]["schemas"]
USE = """
import type { Operations, Sent, Told } from "./types";

function price(frame: Told["/ws/orders/{orderId}"]): string | null {
  if (frame.type === "error") return frame.error;
  if (frame.type === "pong") return null;
  return frame.status === "confirmed" ? frame.data.executedPrice : frame.executedPrice;
}
type Order = Operations["placeOrder"]["body"];
const order: Order = { tokenIn: "SOL", tokenOut: "USDC", amountIn: "1.5" };
const ping: Sent["/ws/orders/{orderId}"] = { type: "ping" };
const status: Operations["getOrder"]["answer"]["status"] = "open";
export { order, ping, price, status };
"""
SHOWN = re.findall(r"^```ts\n(.*?)^```$", (PROJECT / "docs/api.md").read_text(), re.M | re.S)
WRONG = [
    ('amountIn: "1.5"', "amountIn: true"),
    ('"open"', '"opened"'),
    ('{ type: "ping" }', '{ type: "pong" }'),
    ("frame.data.executedPrice", "frame.data.executedPrise"),
]


def test_each_schema_has_its_type_once() -> None:
    named = re.findall(r"^export type (\w+) =", typescript(), re.MULTILINE)
    assert named == sorted(SCHEMAS)
    bare = re.sub(r'//.*|/\*.*?\*/|"[^"]*"', "", typescript())
    others = {"Array", "Operations", "Told", "Sent"}
    assert set(re.findall(r"\b[A-Z]\w+", bare)) <= {*SCHEMAS, *others}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_type_has_the_members_of_its_schema(name: str) -> None:
    schema = SCHEMAS[name]
    text = declaration(name, schema)
    for member in schema.get("properties", {}):
        mark = "" if member in schema.get("required", ()) else "?"
        assert re.search(rf'^  "?{re.escape(member)}"?{re.escape(mark)}: ', text, re.MULTILINE)
    for word in schema.get("enum", ()):
        assert f'"{word}"' in text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (SCHEMAS["Decimal"], "string"),
        (SCHEMAS["Amount"], "string | number"),
        ({"enum": ["buy", "sell", None]}, '"buy" | "sell" | null'),
        ({"type": ["integer", "null"]}, "number | null"),
        ({"anyOf": [{"$ref": "#/components/schemas/Decimal"}, {"type": "null"}]}, "Decimal | null"),
        ({"type": "array", "items": {"type": "string"}}, "Array<string>"),
        (
            {"type": "object", "additionalProperties": {"type": "number"}},
            "{\n  [name: string]: number;\n}",
        ),
        ({"const": True}, "true"),
        ({}, "unknown"),
        ({"description": "Any."}, "unknown"),
    ],
)
def test_a_schema_becomes_the_type_that_holds_its_values(
    schema: dict[str, object], text: str
) -> None:
    assert type_of(schema) == text


def test_the_file_is_the_same_each_time() -> None:
    first = typescript()
    made.typescript.cache_clear()
    assert typescript() == first


async def test_the_types_are_served_and_kept_by_caches() -> None:
    answer = await get("/api/schema/types.ts")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == typescript()
    assert (await get("/api/schema/types.ts", if_none_match=answer.headers["etag"])).status == 304


def compiled(folder: Path, use: str) -> subprocess.CompletedProcess[str]:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("tsc is not installed: `npm install -g typescript` brings it")
    (folder / "types.ts").write_text(typescript())
    (folder / "use.ts").write_text(use)
    return subprocess.run(
        [compiler, "--strict", "--noEmit", "--target", "es2022", "use.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("use", [USE, *SHOWN], ids=["here", *("docs" for _ in SHOWN)])
def test_the_types_compile_where_a_program_uses_them(use: str, tmp_path: Path) -> None:
    ended = compiled(tmp_path, use)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(("right", "wrong"), WRONG, ids=[wrong for _, wrong in WRONG])
def test_the_compiler_notices_what_is_wrong(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in USE
    assert compiled(tmp_path, USE.replace(right, wrong)).returncode != 0
