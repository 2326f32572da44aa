"""Every JSON document that v1sim writes, as a typed model with a published schema.

================================ ==============================================================
`v1sim.documents.document`       what all documents have: plain values, text, reading, writing
`v1sim.documents.check`          ``v1sim check --json``, and the passes that a batch keeps
`v1sim.documents.run`            ``report.json`` of a run
`v1sim.documents.comparison`     ``v1sim compare --json``
`v1sim.documents.difference`     ``v1sim diff --json``
`v1sim.documents.doctor`         ``v1sim doctor --json``
`v1sim.documents.inspection`     ``v1sim inspect --json``
`v1sim.documents.verification`   ``v1sim verify-dynamics --json``
`v1sim.documents.batch`          the states and Slurm arrays of a sweep's runs
`v1sim.documents.schemas`        the schemas in docs/schemas, and the command that writes them
================================ ==============================================================

The models say what a document looks like. What makes a document of a result stands beside the
result. Pydantic takes a while to import, so that whatever can do without JSON imports nothing
from here.
"""
