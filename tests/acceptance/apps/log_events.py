"""Asks a model twice, at the same time, and once streaming."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import openai

client = openai.OpenAI(max_retries=0)


def ask(text):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, n=2)


with ThreadPoolExecutor() as pool:
    for text in ("One", "Two"):
        pool.submit(contextvars.copy_context().run, ask, text)
for _ in client.chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "Three"}], stream=True
):
    pass
