"""Completion in the shell: what may follow the words so far, the script that asks for it, and where that is installed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from resnet_dsl.cli.groups import Command, Group
from resnet_dsl.cli.line import Exit, Parameter, choices, echo, sort

Offer = tuple[str, str]
"""A word, and what it means (empty where that is not known)."""

SCRIPTS = {
    "bash": """_resnet_dsl_completion() {
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \\
                   COMP_CWORD=$COMP_CWORD \\
                   _RESNET_DSL_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _resnet_dsl_completion resnet-dsl""",
    "zsh": """#compdef resnet-dsl

_resnet_dsl_completion() {
  eval $(env COMP_WORDS="${words[1,$CURRENT]}" _RESNET_DSL_COMPLETE=complete_zsh resnet-dsl)
}

compdef _resnet_dsl_completion resnet-dsl""",
    "fish": 'complete --command resnet-dsl --no-files --arguments "(env _RESNET_DSL_COMPLETE=complete_fish COMP_WORDS=(commandline -cp) '
    'resnet-dsl)" --condition "env _RESNET_DSL_COMPLETE=complete_fish COMP_ONLY_ASK=1 COMP_WORDS=(commandline -cp) resnet-dsl"',
}
"""What a shell reads at its start."""


def answer(program: Group, wanted: str) -> int:
    """Print what a shell's script asks for, and give the exit code. `wanted` is `complete_bash`, `complete_zsh` or `complete_fish`."""
    words = _split(os.environ.get("COMP_WORDS", ""))[1:]
    shell = wanted.removeprefix("complete_")
    if shell == "bash":
        place = int(os.environ.get("COMP_CWORD", "0")) - 1
        words, incomplete = words[:place], words[place] if 0 <= place < len(words) else ""
        echo("\n".join(word for word, _ in offers(program, words, incomplete)))
        return 0
    begun = words and not os.environ.get("COMP_WORDS", "").endswith(" ")
    offered = offers(program, words[:-1], words[-1]) if begun else offers(program, words, "")
    if shell == "zsh":
        lines = "\n".join(f'"{_for_zsh(word)}"' + (f':"{_for_zsh(text)}"' if text else "") for word, text in offered)
        echo(f"_arguments '*: :(({lines}))'" if offered else "_files")
        return 0
    if shell == "fish":
        if os.environ.get("COMP_ONLY_ASK"):
            return 0 if offered else 1
        echo("\n".join(f"{word}\t{' '.join(text.split())}" if text else word for word, text in offered))
        return 0
    echo(f"Shell {shell} not supported.", err=True)
    return 1


def offers(program: Group, words: list[str], incomplete: str) -> list[Offer]:
    """What may stand in place of `incomplete` after these words."""
    node: Command | Group = program
    found = sort(words, node.known, group=True, lenient=True)
    while isinstance(node, Group) and found.rest and found.rest[0] in node.rows:
        name, *rest = found.rest
        node = node.build(node.rows[name])
        found = sort(rest, node.known, group=isinstance(node, Group), lenient=True)
    name, equals, value = incomplete.partition("=")
    if equals and (not name or name.startswith("-")):
        words, incomplete = [*words, *([name] if name else [])], value
    options = [p for p in node.known if p.options]
    if "--" not in words and incomplete.startswith("-"):
        names = [(p, name) for p in options if p.many or p.name not in found.given for name in (*p.options, *p.negations)]
        return [(name, p.declared.help) for p, name in names if name.startswith(incomplete)]
    for p in (*(p for p in options if not p.is_switch and words and words[-1] in p.options), *_open(node, found.given)):
        return [(choice, "") for choice in choices(p, incomplete)]
    return [(row.name, row.summary) for row in node.rows.values() if row.name.startswith(incomplete)] if isinstance(node, Group) else []


def _open(node: Command | Group, given: object) -> list[Parameter]:
    """The arguments that a next word may be."""
    assert isinstance(given, dict)
    return [p for p in node.known if not p.options and (p.many or p.name not in given)]


def _split(text: str) -> list[str]:
    """The words of a line, of which the last may be unfinished."""
    import shlex

    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(iter(lexer))
    except ValueError:
        words.append(lexer.token)
    return words


def _for_zsh(text: str) -> str:
    for old, new in (('"', '""'), ("'", "''"), ("$", "\\$"), ("`", "\\`"), (":", r"\\:")):
        text = text.replace(old, new)
    return text


def show() -> None:
    """Print the script of the current shell."""
    echo(SCRIPTS[_shell()])


def install() -> None:
    """Write the script of the current shell to where that looks for it."""
    shell = _shell()
    home = Path.home()
    path = home / {
        "bash": ".bash_completions/resnet-dsl.sh", "zsh": ".zfunc/_resnet-dsl", "fish": ".config/fish/completions/resnet-dsl.fish",
    }[shell]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPTS[shell] + ("\n" if shell == "fish" else ""), encoding="utf-8")
    if shell == "bash":
        _add(home / ".bashrc", f"source '{path}'")
    if shell == "zsh":
        _add(home / ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit")
    echo(f"{shell} completion installed in {path}\nCompletion will take effect once you restart the terminal")


def _add(path: Path, line: str) -> None:
    """A line to the end of a file that has none like it."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if line not in text:
        path.write_text(f"{text.rstrip()}\n{line}\n".lstrip("\n"), encoding="utf-8")


def _shell() -> str:
    """The shell that this process was started from. Ends the command (exit 1) where that is none that we know."""
    process = os.getppid()
    for _ in range(10):
        line = subprocess.run(["ps", "-o", "ppid=,comm=", "-p", str(process)], capture_output=True, text=True, check=False).stdout
        found = re.match(r"\s*(\d+)\s+-?(?:.*/)?(\S+)", line)
        if found is None:
            break
        if found[2] in SCRIPTS:
            return found[2]
        process = int(found[1])
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SCRIPTS:
        echo(f"Shell {name or 'unknown'} not supported.", err=True)
        raise Exit(1)
    return name
