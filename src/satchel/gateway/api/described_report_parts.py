"""The schemas and parameters of reports and mailboxes in the OpenAPI document."""

from satchel.contract.mailboxes import MailboxList
from satchel.contract.reports import (
    DEFAULT_PAGE_ROWS,
    MAX_PAGE_ROWS,
    ActivityType,
    FieldGroup,
    ReceivedMessage,
    ResultEnvelope,
    RunStatus,
)
from satchel.gateway.api.description import EXAMPLE_REPORT, EXAMPLE_RUN_ID, Json, schema_ref

REPORT_TYPES = (MailboxList, ResultEnvelope, ReceivedMessage)
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_GROUPS = "|".join(group.value for group in FieldGroup)

REPORT_FIELDS: dict[str, dict[str, Json]] = {
    "MailboxList": {"mailboxes": {}},
    "Mailbox": {
        "mailboxId": {"description": "For reports.", "pattern": _UUID},
        "mailboxName": {"description": "For people."},
        "mailboxEmail": {"description": "Its address."},
        "active": {"description": "False for one that is no longer in use."},
        "timeZone": {"description": "An IANA name."},
        "users": {"description": "Always empty.", "maxItems": 0},
        "tags": {"description": "Always empty.", "maxItems": 0},
    },
    "ResultEnvelope": {
        "_links": {},
        "status": {"enum": [status.value for status in RunStatus]},
        "progress": {"description": "Percent.", "minimum": 0, "maximum": 100},
        "result": {"description": "Left out where the run failed."},
        "error": {"description": "Only where the run failed."},
    },
    "ResultLinks": {
        "self": {"description": "This page: ask here again while the report is running."},
        "origin": {"description": "The call that began the report."},
        "next": {"description": "The page behind this one, if there is one."},
        "prev": {"description": "The page before this one, if there is one."},
    },
    "Result": {
        "data": {"description": "Rows, in the order of their ids.", "items": schema_ref("ReceivedMessage")},
        "total": {"description": "Of all pages; null while the report is running.", "type": ["integer", "null"]},
        "dataCutoffTimestamp": {
            "description": "What came to the index later is no part of it. Left out where the report ends before.",
            "format": "date-time",
        },
    },
    "ReceivedMessage": {
        "id": {"description": "The cursor; it increases.", "minimum": 1},
        "messageId": {"description": "For the calls about a message's attachments."},
        "internetMessageId": {"description": "The header Message-ID, as it stands there."},
        "conversationId": {},
        "mailboxId": {"pattern": _UUID},
        "received": {"format": "date-time"},
        "sender": {},
        "from": {},
        "subject": {},
        "hasAttachments": {"description": "As the source tells it. Pictures that the text shows do not count."},
        "to": {"description": "With the field group `participants`."},
        "cc": {"description": "With the field group `participants`."},
    },
    "Recipient": {"emailAddress": {}},
    "EmailAddress": {"name": {"description": "May be empty."}, "address": {"description": "May be empty."}},
}
REPORT_SCHEMA_TEXTS = {
    "MailboxList": "The mailboxes that the key is for, by address.",
    "Mailbox": "One mailbox.",
    "ResultEnvelope": "How a report stands, and one page of its rows once it is done.",
    "ResultLinks": "Where to go on. Follow these; there is no need to put them together.",
    "Result": "A page of rows.",
    "ReceivedMessage": "One message.",
    "Recipient": "",
    "EmailAddress": "A name and an address, as they stand in the message.",
}


def report_requests() -> dict[str, Json]:
    """Schemas of what is sent. Fields that are not named here are accepted, and have no effect."""
    instant: Json = {"type": ["string", "null"], "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z?$"}
    properties: Json = {
        "mailboxId": {"type": "string", "minLength": 1, "description": "As the list of mailboxes tells it."},
        "activityType": {
            "enum": [activity.value for activity in ActivityType],
            "description": "`received`; the two others have no rows.",
        },
        "activityStart": instant
        | {"description": "The earliest instant, in UTC; not a bare date.", "default": "2000-01-01T00:00:00Z"},
        "activityEnd": instant | {"description": "The latest instant.", "default": "2100-12-31T00:00:00Z"},
        "statuses": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "Has no effect: messages have no status here.",
        },
    }
    parameters = {"type": "object", "properties": properties, "required": ["mailboxId", "activityType"]}
    return {
        "ReportRequest": {
            "title": "ReportRequest",
            "type": "object",
            "description": "What a report is to tell.",
            "properties": {"parameters": parameters},
            "required": ["parameters"],
        }
    }


def report_body() -> Json:
    """The Request Body Object of a report."""
    content = {"application/json": {"schema": schema_ref("ReportRequest"), "example": EXAMPLE_REPORT}}
    return {"required": True, "description": "At most 16 KiB.", "content": content}


def report_parameters() -> dict[str, Json]:
    """Parameter Objects of the calls."""
    cursor: Json = {"type": "integer", "format": "int64", "minimum": 0}
    rows: Json = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_ROWS, "default": DEFAULT_PAGE_ROWS}
    groups: Json = {
        "type": "string",
        "pattern": f"^({_GROUPS})(,({_GROUPS}))*$",
        "default": FieldGroup.BASIC.value,
    }
    queries: dict[str, tuple[str, Json, object]] = {
        "fieldGroup": ("Sets of fields, with commas between them.", groups, "basic,participants"),
        "includeDetails": ("Has no effect: it is about users.", {"type": "boolean", "default": False}, False),
        "max": ("Rows of a page, at most.", rows, DEFAULT_PAGE_ROWS),
        "starting_after": ("The rows behind the one with this id; not together with `ending_before`.", cursor, 10027),
        "ending_before": ("The last rows before the one with this id, in the order of their ids.", cursor, 10078),
    }
    run_id = {"type": "string", "minLength": 1}
    return {
        "runId": {
            "name": "runId",
            "in": "path",
            "required": True,
            "description": "The report's id, from its links.",
            "schema": run_id,
            "example": EXAMPLE_RUN_ID,
        }
    } | {
        name: {"name": name, "in": "query", "description": text, "schema": schema, "example": example}
        for name, (text, schema, example) in queries.items()
    }
