"""Makes Label Studio tasks from LLM calls.

In come a `Span`, its `Generation` and the labeling config of a project; out comes the JSON of a task. A task shows the
messages as they were recorded, and says what is missing or truncated.

`task` builds the task. `labeling_config` reads labeling configs and has our own (template.xml). `tags` fills the
variables of a labeling config, `text` and `images` make messages readable, `metadata` makes the columns, and `size`
keeps a task within what Label Studio can store. `sample_span` is a call for tests and for `setup`.
"""
