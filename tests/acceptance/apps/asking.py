"""What the programs in this folder share: one LLM call, and a line on standard output once it has returned."""

import os

from langchain_core.language_models import FakeListChatModel, FakeListLLM


def ask(question):
    answer = FakeListLLM(responses=[f"Answer to {question}"]).invoke(question)
    finished(question)
    return answer


async def ask_later(question):
    await FakeListLLM(responses=[f"Answer to {question}"]).ainvoke(question)
    finished(question)


def chat(question):
    FakeListChatModel(responses=[f"Answer to {question}"]).invoke(question)
    finished(question)


def finished(question):
    os.write(1, f"finished {question}\n".encode())  # one system call, so that a kill cannot keep it in a buffer
