"""The options of `satchel gateway rules add` and `change`, and the rule that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from satchel.gateway.rules.conditions import Conditions
    from satchel.gateway.store.rules import RuleDraft

_Addresses = "ADDRESS|@DOMAIN"
_Webhook = Annotated[
    str | None, typer.Option("--webhook", metavar="WEBHOOK", help="The webhook that is told: its id or name.")
]
_Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=VALUE", help="A custom field that the webhook is given; may be repeated."),
]


@dataclass(frozen=True, slots=True)
class WhenOptions:
    """The conditions of a rule."""

    sender: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar=_Addresses,
            help="From or Sender is this address or of this domain, @*.example.com: or of one below it. May be "
            "repeated: one of them.",
        ),
    ] = None
    recipient: Annotated[
        list[str] | None,
        typer.Option("--to", metavar=_Addresses, help="Likewise one of those in To and Cc."),
    ] = None
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="WORDS", help="The subject contains this; may be repeated: one of them."),
    ] = None
    subject_regex: Annotated[
        str | None,
        typer.Option("--subject-regex", metavar="RE2", help="The subject matches this expression; (?-i) minds case."),
    ] = None
    attachments: Annotated[
        bool | None, typer.Option("--attachments/--no-attachments", help="It has attachments, or has none.")
    ] = None
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--attachment-kind",
            metavar="TYPE|.ENDING",
            help="An attachment is of this kind: image/*, application/pdf, .pdf. May be repeated: one of them.",
        ),
    ] = None
    min_bytes: Annotated[
        int | None, typer.Option("--attachment-min-bytes", min=0, help="It has so many bytes or more.")
    ] = None
    max_bytes: Annotated[
        int | None, typer.Option("--attachment-max-bytes", min=0, help="It has so many bytes at most.")
    ] = None
    inline_too: Annotated[bool, typer.Option("--inline-too", help="Pictures in the text are attachments too.")] = False

    def conditions(self) -> "Conditions":
        """What they say. Raises ValueError."""
        from satchel.gateway.rules.conditions import AttachmentConditions, Conditions

        attachments = AttachmentConditions(tuple(self.kind or ()), self.min_bytes, self.max_bytes, self.inline_too)
        return Conditions(
            senders=tuple(self.sender or ()),
            recipients=tuple(self.recipient or ()),
            subject_contains=tuple(self.subject or ()),
            subject_regex=self.subject_regex,
            has_attachments=self.attachments,
            attachments=None if attachments == AttachmentConditions() else attachments,
        )


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """What a new rule does."""

    webhook: _Webhook = None
    field: _Fields = None
    stop: Annotated[bool, typer.Option("--stop", help="Where it holds, the mailbox's further rules are not tried.")] = (
        False
    )


@dataclass(frozen=True, slots=True)
class ChangedOptions:
    """What a rule is to do from now on; None leaves it as it is."""

    name: Annotated[str | None, typer.Option("--name", help="Another label for people.")] = None
    always: Annotated[bool, typer.Option("--always", help="Without any condition.")] = False
    webhook: _Webhook = None
    no_webhook: Annotated[bool, typer.Option("--no-webhook", help="Tell no webhook, only stop.")] = False
    field: _Fields = None
    no_fields: Annotated[bool, typer.Option("--no-fields", help="Without custom fields.")] = False
    stop: Annotated[
        bool | None, typer.Option("--stop/--go-on", help="Where it holds, further rules are not tried, or are.")
    ] = None


def draft(name: str, when: WhenOptions, options: RuleOptions) -> "RuleDraft":
    """The rule to add. Raises ValueError."""
    from satchel.gateway.store.rules import RuleDraft

    return RuleDraft(name, when.conditions(), options.webhook, _custom_fields(options.field or ()), options.stop)


def changed_fields(when: WhenOptions, options: ChangedOptions) -> dict[str, Any]:
    """What is different of the rule's draft. Raises ValueError."""
    changes: dict[str, Any] = {}
    if options.name is not None:
        changes["name"] = options.name
    if when != WhenOptions() or options.always:
        if when != WhenOptions() and options.always:
            raise ValueError("--always means no condition: leave it out, or the conditions.")
        changes["conditions"] = when.conditions()
    if options.webhook is not None or options.no_webhook:
        if options.webhook is not None and options.no_webhook:
            raise ValueError("--webhook and --no-webhook exclude each other: leave one out.")
        changes["webhook"] = options.webhook
    if options.field or options.no_fields:
        if options.field and options.no_fields:
            raise ValueError("--field and --no-fields exclude each other: leave one out.")
        changes["custom_fields"] = _custom_fields(options.field or ())
    if options.stop is not None:
        changes["stop"] = options.stop
    if not changes:
        raise typer.BadParameter("name what is to be different, such as --from or --webhook.")
    return changes


def _custom_fields(written: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not equals or name.strip() in fields:
            raise ValueError(f"{each!r} is no custom field: write each name once, as in --field queue=invoices.")
        fields[name.strip()] = value
    return fields
