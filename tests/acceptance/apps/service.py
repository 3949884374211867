"""A service as people run them: LLM calls between HTTP requests and database queries, and an exit code of its own.

What each LLM call took, and when the program had nothing more to do, goes to the file that MEASUREMENTS names.
"""

import json
import os
import sqlite3
import sys
import time

import urllib3
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.prompts import PromptTemplate

CALLS = 200
seconds = []
database = sqlite3.connect(":memory:")
database.cursor().execute("CREATE TABLE answers (text)")
http = urllib3.PoolManager()
completion = PromptTemplate.from_template("Question {number}") | FakeListLLM(responses=["An answer"])
chat = FakeListChatModel(responses=["Another answer"])

for number in range(CALLS):
    begin = time.perf_counter()
    answer = completion.invoke({"number": number}) if number % 2 else chat.invoke(f"Question {number}").content
    seconds.append(time.perf_counter() - begin)
    if number % 50 == 0:
        http.request("GET", os.environ["HEALTH_URL"])
        database.cursor().execute("INSERT INTO answers VALUES (?)", (answer,))
        print(number, answer)
    time.sleep(0.01)

with open(os.environ["MEASUREMENTS"], "w") as file:
    json.dump({"seconds": seconds, "end": time.time()}, file)
sys.exit(3)
