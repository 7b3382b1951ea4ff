"""Prototxt in text editors: a language server with completion, documentation and diagnostics.

| module | contents |
|---|---|
| `outline` | blocks and fields of a text that need not be complete |
| `manual` | comments, types and defaults of fields, from the schema's comments |
| `known_values` | values of fields that are text: layer types, fillers, policies, blobs |
| `paths` | paths that begin with a text |
| `completion`, `documentation`, `navigation`, `diagnostics` | the answers, as plain records |
| `server` | the protocol: these records in the types of the package lsprotocol |
"""
