"""The words that neither a page nor a comment uses, and what they use instead; docs/glossary.md has the words."""

from __future__ import annotations

WORDS = {
    r"\b(?:a|an|the|one|each|several|two|your|deployed|this|whole) (?-i:mills?)\b": "deployment; Mill is the harness",
    r"\bmend(?:ed|s)?\b": "fixed",
    r"\brings\b": "fires, for an alarm",
    r"\bdesk\b": "the field's term",
    r"\bfor ever\b": "forever",
    r"\b(?:colour|honour|favour|behaviour)(?:s|ed)?\b": "American English",
}
IN_CODE = {  # what comments and docstrings do not say either
    r"\bwhoever\b": "the noun: the caller, a reader, the executor",
    r"\bstands? in (?:a|the|its|their) lines?\b": "is, or waits, in line",
    r"\bwork(?:s|ed|ing)? off\b": "process",
    r"\b(?:see|sees|seen) to (?:it|by|then)\b": "process, handle",
    r"\b(?:born|birth)\b": "created, creation",
    r"\bheard of\b": "what happened: a request came, a lease expired",
    r"\bof ours\b": "Tidemill's",
    r"\blet go of\b": "release",
}
