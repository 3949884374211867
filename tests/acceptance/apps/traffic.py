"""A service under load: chains with an LLM call and an HTTP request each, several a second, until its input ends."""

import os
import sys
import threading
import time

import urllib3
from asking import finished
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
http = urllib3.PoolManager()
chain = ChatPromptTemplate.from_template("{question}") | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
number = 0
while not ended.is_set():
    number += 1
    http.request("GET", os.environ["HEALTH_URL"])
    question = f"{sys.argv[1]} {number}: write to jane.doe@example.com"
    chain.invoke({"question": question})
    finished(question)
    time.sleep(0.25)
