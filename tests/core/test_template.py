import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netra_loop.core import template
from netra_loop.core.template import TemplateError
from netra_loop.errors import UsageError

SCOPE = {
    "env": {"HOME": "/root", "EMPTY": ""},
    "vars": {"user": "ann", "evil": "'; echo pwned #"},
    "services": {"backend": {"url": "http://b", "ws_url": "ws://b"}},
    "iteration": 3,
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${vars.user}", "ann"),
        ("${services.backend.ws_url}/ws", "ws://b/ws"),
        ("a${vars.user}b${iteration}c", "aannb3c"),
        ("${env.MISSING:-demo}", "demo"),
        ("${env.EMPTY:-demo}", "demo"),
        ("${env.EMPTY}", ""),
        ("${env.HOME:-demo}", "/root"),
        ("${env.MISSING:-}", ""),
        ("${env.MISSING:-a:-b $c}", "a:-b $c"),
        ("$$", "$"),
        ("$${vars.user}", "${vars.user}"),
        ("$120K+ MRR $", "$120K+ MRR $"),
        ("$$$$", "$$"),
    ],
)
def test_fills_in(text, filled):
    assert template.render(text, SCOPE) == filled


def test_a_scope_may_be_a_function_or_keyed_by_whole_names():
    assert template.render("${vars.user}", {"vars.user": "bob"}) == "bob"
    assert template.render("${session.id}", lambda name: f"<{name}>") == "<session.id>"


def test_values_are_never_read_again():
    assert template.render("${vars.a}", {"vars": {"a": "${env.HOME} $$"}}) == "${env.HOME} $$"


def test_fills_whatever_holds_texts_and_leaves_the_rest():
    value = {"${vars.user}": ["${vars.user}", 1, None, {"a": "$$"}], "t": ("${iteration}",)}
    assert template.render_any(value, SCOPE) == {"${vars.user}": ["ann", 1, None, {"a": "$"}], "t": ("3",)}


def test_names_are_told_once_in_order_of_use():
    assert template.parse("${vars.b} ${env.A:-x} ${vars.b}").names == ("vars.b", "env.A")


@pytest.mark.parametrize(
    ("text", "offset", "suggestion"),
    [
        ("ab ${vars.x", 3, None),
        ("${}", 0, None),
        ("${HOME}", 0, None),
        ("x${evn.A}", 1, "env"),
        ("${auth.tokn}", 0, "auth.token"),
        ("${git.branhc}", 0, "git.branch"),
        ("${services.b.uri}", 0, "services.b.url"),
        ("${services.url}", 0, None),
        ("${iteration.x}", 0, None),
        ("${vars}", 0, None),
        ("${vars.a b}", 0, None),
        ("${vars.a:-b}", 0, None),
        ("${env.A:-${env.B}}", 0, None),
    ],
)
def test_refuses_what_means_nothing(text, offset, suggestion):
    with pytest.raises(TemplateError) as caught:
        template.parse(text)
    assert (caught.value.offset, caught.value.suggestion) == (offset, suggestion)
    assert caught.value.exit_code == 2


def test_a_variable_of_the_shell_is_shown_its_spelling():
    with pytest.raises(TemplateError) as caught:
        template.parse("echo ${HOME}")
    assert "$${HOME}" in str(caught.value.hint)


def test_scan_finds_every_error():
    _, errors = template.scan("${a.b} ${vars.ok} ${git.x}")
    assert [error.offset for error in errors] == [0, 18]


def test_a_missing_variable_is_named_with_its_place_and_the_way_out():
    with pytest.raises(UsageError, match=r"'TOKEN' is not set, used at auth\.key\[0\]") as caught:
        template.render_any({"key": ["${env.TOKEN}"]}, SCOPE, where="auth")
    assert "${env.TOKEN:-default}" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"used at \$\{saved\.x\}"):
        template.render("${saved.x}", SCOPE)


@given(st.text(alphabet="$${}a.:-v ", max_size=20))
def test_escaped_text_comes_back_as_it_was(text):
    assert template.render(template.escape(text), {}) == text


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_its_errors_placed(text):
    _, errors = template.scan(text)
    assert all(0 <= error.offset < len(text) for error in errors)


def shell(command: str) -> str:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "command",
    [
        "printf '%s|' ${vars.x}",
        'printf "%s|" "${vars.x}"',
        "printf '%s|' '${vars.x}'",
        "printf '%s|' \"$(printf %s ${vars.x})\"",
        'printf \'%s|\' "$(printf %s "${vars.x}")"',
        "true # it's\nprintf '%s|' ${vars.x}",
        "printf '%s|' \"\"${vars.x}''",
        'X="a\\"b" && printf "%s|" ${vars.x}',
    ],
)
@pytest.mark.parametrize(
    "value", ["a b", "'; echo pwned #", "$(echo pwned)`echo pwned`", '" ; echo pwned "', "\\", "-n", ""]
)
def test_a_value_stays_one_word_in_any_quotes(command, value):
    assert shell(template.render_shell(command, {"vars": {"x": value}})) == f"{value}|"


@pytest.mark.parametrize(
    "command",
    [
        "echo `${vars.x}`",
        'echo "`echo ${vars.x}`"',
        "echo \\${vars.x}",
        "echo $$${vars.x}",
        "true # ${vars.x}",
        "cat <<END\n${vars.x}\nEND",
        'echo "$${A:-${vars.x}}"',
        "echo $${A#${vars.x}}",
        "echo $(( ${vars.x} ))",
        "(( ${vars.x} ))",
        "echo $[ ${vars.x} ]",
        "echo $'\\'${vars.x}'",
        'echo "$(case a in a) echo "${vars.x}";; esac)"',
    ],
)
def test_refuses_places_where_no_quoting_is_safe(command):
    assert len(template.check_shell(command)) == 1
    with pytest.raises(TemplateError, match="cannot take a value safely"):
        template.render_shell(command, SCOPE)


# no word among them that could name a function, so that no command made of them can call itself
PIECES = ["'", '"', "\\", "`", "$$", "(", ")", "#", " ", "-", "{", "}", ";", "\n", "<<", "${vars.x}"]
EVIL = "' \" ; echo pwn$((1+1))ed; $(echo pwn$((1+1))ed >&2)`echo pwn$((1+1))ed >&2`\n echo pwn$((1+1))ed\n"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
)
@example('"', '"')
@example("'", "'")
@example('"$$(- "', '")"')
def test_nothing_in_a_value_is_ever_executed(before, after):
    try:
        rendered = template.render_shell(f"echo {before}${{vars.x}}{after}", {"vars": {"x": EVIL}})
    except TemplateError:
        return
    done = subprocess.run(
        ["/bin/sh", "-c", rendered], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert "pwn2ed" not in done.stdout + done.stderr


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
SHELL_TEXTS = st.text("'\"`$(){}\\;|&<>#!*?~ \n\t-ab", max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(SHELL_TEXTS, VALUES), min_size=1, max_size=6))
def test_whatever_a_value_is_a_command_gets_it_as_it_is(values):
    scope = {"vars": {f"v{place}": value for place, value in enumerate(values)}}
    words = [f"""${{vars.v{place}}} "${{vars.v{place}}}" '${{vars.v{place}}}'""" for place in range(len(values))]
    rendered = template.render_shell(f"printf '%s\\0' {' '.join(words)}", scope)
    done = subprocess.run(["/bin/sh", "-c", rendered], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.decode().split("\0")[:-1] == [value for value in values for _ in range(3)]
