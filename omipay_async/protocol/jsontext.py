"""JSON as the gateway writes it: strictly JSON, its numbers exact, its keys without stray spaces. No I/O."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse_constant(word: str) -> NoReturn:
    message = f"{word} is no JSON"
    raise ValueError(message)


# One decoder: json.loads(parse_float=...) would build one on each call. Rates never pass through binary floats.
_JSON: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=refuse_constant)


def json_object(body: bytes, decoder: json.JSONDecoder = _JSON) -> dict[str, Any]:
    """The JSON object in ``body``, its keys without stray spaces (``"refund_no "`` in both documents' examples).

    Raises:
        ValueError: if it is none; the message shows nothing of the body.
    """
    try:
        value = decoder.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (ValueError, ArithmeticError):
        raise ValueError("it is not JSON" if body.strip() else "it is empty") from None
    if not isinstance(value, dict):
        raise ValueError("it is JSON, but no object")  # noqa: TRY004 - one kind of error for one kind of trouble
    return cleaned(value)


def cleaned(value: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` with stray spaces taken off its keys; a key that had none wins over one that had."""
    result = {key.strip(): item for key, item in value.items()}
    if len(result) != len(value):
        result.update((key, item) for key, item in value.items() if key in result)
    return result


def json_text(value: Any) -> str:
    # `order_string` may be a JSON value (CN 3.6): back to text, with its numbers as they were written.
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(json_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{json_text(v)}" for key, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
