from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidemill.core.cel.subset import Subset, compile_subset
from tidemill.core.cel.terms import Unbounded, compile_terms
from tidemill.core.expression import MISSING, ExpressionError, _Cel, compile  # noqa: A004
from tidemill.limits import EXPRESSION_CHARS

EVENT = {
    "name": "user/signed.up",
    "data": {
        "a-b": 1,
        "n": 1,
        "f": 1.5,
        "plan": "pro",
        "user": {"name": "Zoë"},
        "items": [{"id": 7}, {"id": 8}],
        "none": None,
        "yes": True,
        "at": "2026-01-01T00:00:00Z",
        "in": 3,
        "id53": 2**53 + 1,
        "id63": 2**63 + 1,
        "id70": 2**70 + 1,
    },
    "user": {"id": "u1", "created_at": "2021-05-01"},
}
VARIABLES = {"event": EVENT}
EVENT_ROOT = frozenset({"event"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("event.data.plan", "pro"),
        ("event.data['a-b']", 1),
        ('event.data["user"].name', "Zoë"),
        ("event.data.items[1].id", 8),
        ("event.data.items[2].id", MISSING),
        ("event.data.items[-1].id", MISSING),
        ("event.data.items.id", MISSING),
        ("event.data.plan.x", MISSING),
        ("event.data.nothing", MISSING),
        ("event.data['in']", 3),
        ("event.data.none", None),
        ("event.data.id70", 2**70 + 1),
        ("event.data", EVENT["data"]),
        ("'text'", "text"),
        ("-5", -5),
        ("1.5e3", 1500.0),
        ("event.data.plan == 'pro' ? 120 : 0", 120),
        ("event.data.plan == 'free' ? 120 : event.data.n > 0 ? 5 : 0", 5),
        ("event.data.nothing ? 1 : 2", MISSING),
        ("has(event.data.plan)", True),
        ("has(event.data.nothing)", False),
        ("has(event.nothing.more)", MISSING),
        ("event.data.n in [2, 1.0]", True),
        ("'plan' in event.data", True),
        ("event.data.plan in ['free', event.data.nothing]", MISSING),
        ("size(event.data.items)", 2),
        ("size(event.data.user.name)", 3),
        ("event.data.user.name.size() == 3", True),
        ("size(event.data.n)", MISSING),
        ("event.data.plan.startsWith('pr')", True),
        ("event.data.plan.matches('^p.o$')", True),
        ("event.data.plan.matches('(')", MISSING),
        ("event.data.plan + '-' + event.user.id", "pro-u1"),
        ("[event.user.id, event.data.plan]", ["u1", "pro"]),
        ("event.data.items.exists(item, item.id == 8)", True),
        ("event.data.items.map(item, item.id)", [7, 8]),
        ("event.data.n / 0", MISSING),
        ("int('x')", MISSING),
        ("timestamp(event.data.at) < timestamp('2026-01-01T01:00:00+00:00')", True),
        ("type(event.data.n) == int", True),
        ("event.data.n == 1 // a comment", True),
        ("r'a\\b'", "a\\b"),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert compile(text).value(VARIABLES) == value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("event.data.yes", True),
        ("!event.data.yes", False),
        ("event.data.plan", False),
        ("event.data.n == 1.0", True),
        ("event.data.f > 1", True),
        ("event.data.yes == 1", False),
        ("event.data.n == '1'", False),
        ("event.data.n != '1'", True),
        ("event.data.n < '2'", False),
        ("event.data.none == null", True),
        ("event.data.none > 1", False),
        ("event.data.nothing == null", False),
        ("event.data.nothing != 'x'", False),
        ("!(event.data.nothing == 'x')", False),
        ("event.data.nothing == 'x' || event.data.n == 1", True),
        ("event.data.nothing == 'x' && event.data.n == 1", False),
        ("event.user.created_at > '2020-01-01'", True),
        ("event.data.id53 == event.data.id53", True),
        ("event.data.id53 == 9007199254740992", False),
        ("event.data.id63 > event.data.id53", True),
        ("event.data.id70 > event.data.id63", True),
        ("event.data.user == {'name': 'Zoë'}", True),
    ],
)
def test_conditions(text: str, *, holds: bool) -> None:
    assert compile(text).holds(VARIABLES) is holds


def test_integers_of_any_size_compare_exactly() -> None:
    same, other = {"event": {"a": 2**70, "b": 2**70}}, {"event": {"a": 2**70, "b": 2**70 + 1}}
    assert compile("event.a == event.b").holds(same)
    assert not compile("event.a == event.b").holds(other)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("event.a.x.startsWith('t') && event.a == {'x': 'text', 'y': 1}", True),
        ("event.a.x + event.a.z.deep", MISSING),
        ("event.b.x + 'a'", MISSING),
        ("[{'event': 1}.event + 1, size(event.a.x)]", [2, 4]),
        ("event.a.exists(key, event.a[key] == 1)", True),
        ("event.list.exists(event, event.x == 2)", True),
        ("'y' in event.a && event.a.x.endsWith('t')", True),
        ("size(event) == 3 && event.a.y + 1 == 2", True),
        ("has(event.a.x) && size(event.a.x) == 4", True),
        ("has(event.a.z) || size(event.a.x) == 0", False),
    ],
)
def test_the_engine_is_given_all_that_an_expression_reads(text: str, value: Any) -> None:
    event = {"a": {"x": "text", "y": 1}, "b": 5, "list": [{"x": 2}]}
    assert compile_subset(text, EVENT_ROOT, None) is None
    assert compile(text).value({"event": event}) == value


def test_numbers() -> None:
    assert compile("event.data.plan == 'pro' ? 120 : 0").number(VARIABLES) == 120.0
    for no_number in ("event.data.nothing", "event.data.plan", "event.data.yes", "event.data.none"):
        assert compile(no_number).number(VARIABLES) == 0.0
    assert compile("event.x").number({"event": {"x": 10**400}}) == 0.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("event.data.nothing", "'event.data.nothing' has no value: event.data.nothing is missing"),
        ("event.data.n + event.data.nothing", "event.data.nothing is missing"),
        ("event.data.n < 'x'", "types that do not go together"),
        ("event.data.n + 'x'", "types that do not go together"),
    ],
)
def test_a_missing_value_says_why(text: str, says: str) -> None:
    note = compile(text).missing(VARIABLES)
    assert note is not None
    assert says in note
    assert "\n" not in note


def test_a_value_that_is_there_has_no_note() -> None:
    assert compile("event.data.none").missing(VARIABLES) is None


def test_a_root_that_is_not_given_is_missing() -> None:
    roots = frozenset({"event", "async", "steps"})
    for text in ("async.data.x == 1", "size(async.data.x) == 1", "steps['step-1'].ok"):
        assert compile(text, roots).value(VARIABLES) is MISSING
    given_steps = {"event": EVENT, "steps": {"step-1": {"ok": True}}}
    assert compile("steps['step-1'].ok == true", roots).holds(given_steps)


def test_a_bare_name_is_looked_up_under_the_default_root() -> None:
    assert compile("user.created_at > '2020-01-01'", default_root="event").holds(VARIABLES)
    assert compile("user.created_at.startsWith('2021')", default_root="event").holds(VARIABLES)
    assert compile("size(data.items) == 2 && event.data.n == 1", default_root="event").holds(VARIABLES)
    assert compile("nothing.x + 'a'", default_root="event").value(VARIABLES) is MISSING


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "column 1"),
        ("   ", "is not CEL"),
        ("event.data.x = 1", "column 14"),
        ("event.data.", "column 12"),
        ("event.data.x == 'a", "column 17"),
        ("event.data.in == 1", "column 12"),
        ("event.data.x and true", "column 14"),
        ("(event.data.x", "is not CEL"),
        ("event.data.n == 9223372036854775808", "column 17"),
        ("event.data.n ==\n  = 1", "line 2, column 3"),
        ("user.id == 'x'", "column 1: 'user' is not known here: begin with event, as in event.user.id"),
        ("data.user_id == 'x'", "'data' is not known here: begin with event, as in event.data.user_id"),
        ("plan.name == 'x'", "begin with event, as in event.data.plan.name"),
        ("async.data.id == 1", "begin with event, as in event.data.id"),
        ("event.data.x = 1", "column 14: use '==' for '='"),
        ("event.data.x === 1", "column 14: use '==' for '==='"),
        ("event.data.x <> 1", "column 14: use '!=' for '<>'"),
        ("event.data.x == '=' AND true", "column 21: use '&&' for 'AND'"),
        ("event.data.x or true", "column 14: use '||' for 'or'"),
        ("not event.data.and", "column 1: use '!' for 'not'"),
        ("event.data.x is null", "column 14: use '==' for 'is'"),
        ("event.data.x == None", "column 17: 'None' is not known here: use 'null'"),
        ("event.data.x == True", "column 17: 'True' is not known here: use 'true'"),
        ("event.data.x y", "column 14: 'y' does not belong here"),
        ("event.data.items[0", "missing ']' at the end"),
        ("", "the expression ends too early"),
        ("event.data.items.all(x, y)", "column 25: 'y' is not known here"),
        ("if.x", "reserved"),
        (".event.n == 1", "'.event' is not known here"),
        ("event.data.plan.upper() == 'A'", "column 17: 'upper' is no function of CEL"),
        ("now() > 1", "'now' is no function"),
        ("(" * 500 + "1" + ")" * 500, "is not CEL"),
        ("e" * (EXPRESSION_CHARS + 1), "2,048 characters; this one has 2,049"),
    ],
)
def test_what_is_no_expression_is_told(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile(text)
    assert says in str(refused.value)
    assert text[:40] in str(refused.value)


def test_the_common_forms_load_no_engine_and_the_engine_no_command_line() -> None:
    code = """
import sys
from tidemill.core.expression import compile
compile("event.data.plan == 'pro' && event.data.n > 3 ? 1 : 0")
print("cel.cel" in sys.modules)
compile("size(event.data) > 3 && event.data.items.exists(i, i.id + 1 > 7)")
print("cel.cel" in sys.modules)
compile("timestamp(event.data.at)").value({"event": {"data": {"at": "2026-01-01T00:00:00Z"}}})
print("cel.cel" in sys.modules, "cel" in sys.modules, "typer" in sys.modules)
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False", "True", "False", "False"]


# --- the subset and the engine hold together -----------------------------------------------------------

_SMALL = 2**53  # beyond it the engine compares an integer with a float as floats, the subset exactly
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-_SMALL, _SMALL)
    | st.floats(-3, 3, width=16)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "b", "é", "2020", "😀"]),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "a-b"]), some, max_size=3),
    max_leaves=8,
)
_data = st.dictionaries(st.sampled_from(["a", "b", "c"]), _json)
_paths = st.sampled_from(
    ["event.a", "event.b", "event.c", "event.a.x", "event['b']['a-b']", "event.c[0]", "event.a[1].y", "event"]
)
_literals = st.sampled_from(
    ["1", "-2", "0", "1.0", "-0.5", "1e3", "true", "false", "null", "'a'", '"b"', "'é'", "''", "'2020'", "'a && b'"]
)


def _grow(some: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"])
    return (
        st.tuples(some, signs, some).map(" ".join)
        | st.tuples(some, some, some).map(lambda three: "{} ? {} : {}".format(*three))
        | some.map("({})".format)
        | some.map("!({})".format)
        | some.map("!{}".format)
        | st.lists(some, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.sampled_from(["has(event.a)", "has(event.b.x)", "has(event['c'].y)", "has(event.a)"])
    )


_texts = st.recursive(_paths | _literals, _grow, max_leaves=6)


@settings(max_examples=300)
@given(_texts, _data)
def test_the_subset_means_what_the_engine_means(text: str, data: dict[str, Any]) -> None:
    subset = compile_subset(text, EVENT_ROOT, None)
    assume(subset is not None)
    assert isinstance(subset, Subset)
    engine = _Cel(text, EVENT_ROOT, None)  # so whatever the subset takes, the engine takes
    ours, theirs = subset.value({"event": data}), engine.value({"event": data})
    assert (ours, type(ours)) == (theirs, type(theirs))


_small_maps = st.dictionaries(  # the engine goes through a map in any order
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.floats(-3, 3, width=16)
        | st.sampled_from(["", "a", "b", "é"]),
        lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), some, max_size=1),
        max_leaves=8,
    ),
    max_size=1,
)
_names = st.sampled_from(["x", "i", "event"])
_leaves = _paths | _literals | st.sampled_from(["x", "i", "x.y", "i['x']", "x[0]", "'a\\n'", "r'a'", "2", "3.5"])


def _grow_terms(some: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    macros = st.sampled_from(["all", "exists", "exists_one", "filter", "map"])
    signs = st.sampled_from(["+", "-", "*", "/", "%"])
    methods = st.sampled_from(["contains", "startsWith", "endsWith", "matches"])
    functions = st.sampled_from(["int", "string", "double", "dyn", "timestamp", "duration"])
    return (
        _grow(some)
        | st.tuples(some, signs, some).map(" ".join)
        | some.map("-({})".format)
        | st.tuples(some, macros, _names, some).map(lambda four: "({}).{}({}, {})".format(*four))
        | st.tuples(_paths, macros, _names, some).map(lambda four: "{}.{}({}, {})".format(*four))
        | st.tuples(some, _names, some, some).map(lambda four: "({}).map({}, {}, {})".format(*four))
        | st.tuples(some, methods, some).map(lambda three: "({}).{}({})".format(*three))
        | st.tuples(functions, some).map(lambda two: "{}({})".format(*two))
        | st.tuples(some, some).map(lambda two: "({})[{}]".format(*two))
        | some.map("({}).x".format)
        | some.map("{{'x': {}}}".format)
        | st.sampled_from(["has(x.y)", "has(i.x)"])
    )


_terms = st.recursive(_leaves, _grow_terms, max_leaves=6)


@settings(max_examples=400)
@given(_terms, _small_maps)
def test_what_is_run_step_by_step_means_what_the_engine_means(text: str, data: dict[str, Any]) -> None:
    try:
        terms = compile_terms(text, EVENT_ROOT, None)
    except Unbounded:
        return
    assume(terms is not None)
    assert isinstance(terms, Subset)
    engine = _Cel(text, EVENT_ROOT, None)  # so whatever is run here, the engine takes
    ours, theirs = terms.value({"event": data}), engine.value({"event": data})
    assert (ours, type(ours)) == (theirs, type(theirs))


@settings(max_examples=200)
@given(st.text(st.sampled_from("eventasync.[]()'\"\\&|=!<>?:0123456789-+uxr,{} \n\t/true in null has")))
def test_no_text_breaks_the_compiler(text: str) -> None:
    with suppress(ExpressionError):
        compile(text).holds(VARIABLES)


# --- nothing is evaluated without bound ----------------------------------------------------------------

_ALL_PAIRS = "event.data.items.all(a, event.data.items.exists_one(b, a == b))"
_DEEP_LIST = [[[index] for index in range(20)] for _ in range(500)]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (_ALL_PAIRS, {"items": list(range(3_000))}),
        (_ALL_PAIRS, {"items": list(range(100_000))}),
        (
            "event.data.items.map(a, event.data.items).map(b, b == event.data.items).size() > 1",
            {"items": [*range(2_000)]},
        ),
        ("event.data.items.all(a, a in event.data.items)", {"items": list(range(3_000))}),
        ("event.data.items.all(a, event.data.items == event.data.items)", {"items": list(range(3_000))}),
        ("event.data.items.exists(a, event.data.text.contains(a))", {"items": ["z"] * 20_000, "text": "x" * 700_000}),
        ("event.data.items.map(a, a + a).map(a, a + a).map(a, a + a).size() > 1", {"items": ["x" * 70_000] * 10}),
        (" && ".join(["event.data.items == event.data.items"] * 50), {"items": _DEEP_LIST}),
        (" && ".join(["[1] in event.data.items"] * 60), {"items": _DEEP_LIST}),
        (f"({' + '.join(['event.data.text'] * 100)}).size() > 1", {"text": "x" * 700_000}),
        (f"({' + '.join(['event.data.text'] * 100)}) != b'x'", {"text": "x" * 700_000}),
        ("event.data.text.matches('(x{90}){100}y')", {"text": "x" * 700_000}),
        ("event.data.text.matches(event.data.pattern)", {"text": "x" * 700_000, "pattern": "(x{90}){100}y"}),
        ("event.data.items.exists(a, a.matches('(x+x+)+y'))", {"items": ["x" * 1_000] * 10_000}),
    ],
)
def test_what_would_take_long_has_no_value_and_says_so(text: str, data: dict[str, Any]) -> None:
    expression = compile(text)
    variables = {"event": {"data": data}}
    began = time.thread_time()
    assert not expression.holds(variables)
    assert expression.number(variables) == 0.0
    assert time.thread_time() - began < 2 * 20 * _MEASURE  # either took about 20 ms; without bound: seconds to for ever
    note = expression.missing(variables)
    assert note is not None
    assert note.endswith("has no value: it takes more than 100,000 steps over this data")


def _one_step() -> float:
    """How long this machine takes for what takes a millisecond on an ordinary one."""
    began = time.thread_time()
    sum(index for index in range(25_000))
    return time.thread_time() - began


_MEASURE = max(_one_step() for _ in range(5)) * 20  # generous: it is to tell 20 ms on a quiet machine from seconds


@pytest.mark.parametrize(
    ("text", "count", "holds"),
    [
        ("event.data.items.exists(item, item.sku == 'sku-{last}')", 10_000, True),
        ("event.data.items.all(item, item.tags.exists(tag, tag == 'a'))", 2_000, True),
        ("size(event.data.items.filter(item, item.qty * 2 > 2)) == 0", 5_000, True),
        ("'sku-{last}' in event.data.items.map(item, item.sku)", 10_000, True),
        ("event.data.items.exists(item, item.sku.matches('^sku-{last}$'))", 50, True),
    ],
)
def test_what_takes_as_long_as_its_data_is_evaluated(text: str, count: int, *, holds: bool) -> None:
    items = [{"sku": f"sku-{number}", "qty": 1, "tags": ["b", "a"]} for number in range(count)]
    expression = compile(text.replace("{last}", str(count - 1)))
    assert expression.holds({"event": {"data": {"items": items}}}) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "event.a.all(x, x.all(y, y.all(z, z.all(w, w == 1))))",
            "more than 3 of all(), exists(), map(), … within each other",
        ),
        ("event.a.matches('((a{100}){100}){100}')", "the pattern's repetitions, written out, are more than 10,000"),
        ("event.a.exists(x, x.matches('" + "a" * 1_001 + "'))", "the pattern has 1,001 characters, more than 1,000"),
        ("event.a.exists(x, x == 1u)", "use paths, literals, arithmetic and CEL's functions"),
    ],
)
def test_what_no_data_makes_cheap_is_refused_when_it_is_compiled(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile(text)
    assert says in str(refused.value)


def test_a_budget_that_is_used_up_is_no_error_that_the_other_side_of_or_can_mend() -> None:
    text = f"({_ALL_PAIRS}) || event.data.ok"
    assert not compile(text).holds({"event": {"data": {"items": list(range(3_000)), "ok": True}}})


@pytest.mark.parametrize(
    ("text", "ours"), [("has(event.a.x)", True), ("has(event.a)", True), ("has(event.a[0])", False)]
)
def test_what_asks_whether_a_member_is_there_needs_no_engine(text: str, ours: bool) -> None:
    assert (compile_subset(text, EVENT_ROOT, None) is not None) is ours


@pytest.mark.parametrize(
    "text", ["event.words.all(w, size(w) == 3)", "[size(event.words[0])] == [3] && size('éé') == 2"]
)
def test_the_engine_itself_counts_characters(text: str) -> None:
    assert _Cel(text, EVENT_ROOT, None).value({"event": {"words": ["Zoë", "abc"]}}) is True
