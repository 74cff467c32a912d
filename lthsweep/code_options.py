"""Options that a function or class of the user accepts, read from its source without running it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.errors import nearest
from lthsweep.options import Option, OptionValue
from lthsweep.usercode import Code, pinned_source

__all__ = ["CodeOptions", "code_options"]

_KINDS: Mapping[str, OptionValue] = {"bool": False, "int": 0, "float": 0.0, "str": ""}


@dataclass(frozen=True)
class CodeOptions:
    """The options of a function or class.

    Attributes:
        code: "module:function".
        types: name → its type; None where the source declares none.
        required: the names without a default.
        any_name: True if it has a parameter such as `**options`.
    """

    code: str
    types: Mapping[str, Option | None]
    required: frozenset[str]
    any_name: bool

    def problem(self, name: str, value: OptionValue) -> str | None:
        """The reason why an option cannot be passed; None if it can."""
        if name not in self.types:
            if self.any_name:
                return None
            hint = nearest(name, self.types)
            meant = f" did you mean `{hint}`?" if hint else ""
            return f"is not an option of {self.code};{meant} there are: {', '.join(self.types) or 'none'}"
        option = self.types[name]
        try:
            if option is not None:
                option.checked(value)
        except ValueError as requirement:
            return f"must be {requirement}, as {self.code} declares it"
        return None


def code_options(name: str, positional: int) -> CodeOptions | None:
    """The options of the user's function or class.

    Args:
        name: "module:function@HASH".
        positional: number of arguments that lthsweep passes by position.

    Returns:
        None if the source is not on this machine, or does not show the signature: decorated and imported functions,
        and classes with an inherited constructor, are checked when they are called.
    """
    source = pinned_source(name)
    return None if source is None else _read(source, Code.parse(name), positional)


@functools.cache
def _read(source: bytes, code: Code, positional: int) -> CodeOptions | None:
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    found = [node for node in module.body if getattr(node, "name", None) == code.function]
    if len(found) != 1 or code.function in _assigned_names(module):
        return None
    [node] = found
    if isinstance(node, ast.ClassDef) and not node.decorator_list and not node.keywords:
        names = {getattr(item, "name", None): item for item in node.body}
        node, positional = names.get("__init__", node), positional + 1  # self
        if "__new__" in names:
            return None
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    return _options(f"{code.module}:{code.function}", node.args, positional)


def _assigned_names(module: ast.Module) -> set[str]:
    names = (node for node in ast.walk(module) if isinstance(node, ast.Name))
    return {node.id for node in names if not isinstance(node.ctx, ast.Load)}


def _options(code: str, arguments: ast.arguments, positional: int) -> CodeOptions:
    both = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [*([None] * (len(both) - len(arguments.defaults))), *arguments.defaults]
    pairs = [*zip(both, defaults, strict=True)][positional:]
    pairs = [(argument, default) for argument, default in pairs if argument not in arguments.posonlyargs]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return CodeOptions(
        code,
        types={argument.arg: _type(argument.annotation, default) for argument, default in pairs},
        required=frozenset(argument.arg for argument, default in pairs if default is None),
        any_name=arguments.kwarg is not None,
    )


def _type(annotation: ast.expr | None, default: ast.expr | None) -> Option | None:
    """The type of an argument; a default of 1 without an annotation stands for any number."""
    if annotation is not None:
        return _annotated(annotation)
    try:
        value = ast.literal_eval(default) if default is not None else None
    except ValueError:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Option(float(value), "")
    return Option(value, "") if isinstance(value, bool | str) else None


def _annotated(annotation: ast.expr) -> Option | None:
    """The option of `int`, `"int"`, `int | None`, `Literal["a", "b"]`; None for other types."""
    match annotation:
        case ast.Name(id=kind) if kind in _KINDS:
            return Option(_KINDS[kind], "")
        case ast.Constant(value=str(text)):
            try:
                return _annotated(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return None
        case ast.BinOp(left=inner, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _annotated(inner)
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            texts = [item.value for item in items if isinstance(item, ast.Constant)]
            choices = tuple(text for text in texts if isinstance(text, str))
            return Option(choices[0], "", choices=choices) if len(choices) == len(items) else None
    return None
