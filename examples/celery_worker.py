"""A Celery worker that summarizes letters. It asks OpenAI, or with OPENAI_BASE_URL any compatible server.

Run as a program, it queues a letter for each of its arguments.
"""

import os
import sys
from pathlib import Path

from celery import Celery
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

# A queue in a folder, so that this runs without a broker. Yours is redis://… or amqp://…, and needs no options.
queue = Path(__file__).with_name("celery-queue")
queue.mkdir(exist_ok=True)
app = Celery("celery_worker", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(queue),
    "data_folder_out": str(queue),
    "control_folder": str(queue / "control"),
}

prompt = ChatPromptTemplate.from_messages([("system", "Summarize the letter in one sentence."), ("human", "{letter}")])


@app.task
def summarize(letter):
    chain = prompt | ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    return chain.invoke({"letter": letter}).content


if __name__ == "__main__":
    for letter in sys.argv[1:]:
        summarize.delay(letter)
