"""Shares its calls out to the processes of a pool, started by fork or by spawn."""

import multiprocessing
import sys

from asking import ask


def main():
    ask("The parent before")
    with multiprocessing.get_context(sys.argv[1]).Pool(int(sys.argv[2])) as pool:
        pool.map(ask, [f"Child {number}" for number in range(10)], chunksize=1)
    ask("The parent after")


if __name__ == "__main__":
    main()
