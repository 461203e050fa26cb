"""A document pipeline: read, infer in batches, write an index. `python examples/document_pipeline.py [FOLDER]`

The model tells the language of a text by its letters in threes: small enough to need no GPU and no download. For one that needs
a GPU, declare `num_gpus=1`: then Ray places each batch on a node that has one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr

#: What the model is made of: some common words of each language.
SAMPLES = {
    "English": "the and of to in that is was for it with as his on be at by this had not are but from or have an they which",
    "German": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat",
    "Spanish": "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque",
}
TEXTS = {
    "letter.txt": "This is the letter that she had written for them, and it was not at all what they had wanted from her.",
    "brief.txt": "Das ist der Brief, den sie für ihn geschrieben hat, und er ist nicht mit dem zu vergleichen, der hier ist.",
    "carta.txt": "Esta es la carta que ella ha escrito para los otros, pero no es como las que le gustan a su hermano.",
    "note.txt": "They have to be at the station by noon, but the train from the north is late.",
}
BATCH = 2


@dataclass(frozen=True)
class Job:
    source: str
    index: str


@dataclass(frozen=True)
class Document:
    path: str
    language: str


def threes(text: str) -> Counter[str]:
    words = [f" {word} " for word in text.lower().split()]
    return Counter(word[at : at + 3] for word in words for at in range(len(word) - 2))


@dr.activity(local=True)
def list_documents(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob("*.txt"))


@dr.activity(num_cpus=1, retry_policy=dr.RetryPolicy(first_retry_interval=1, max_number_of_attempts=3))
def infer(paths: list[str]) -> list[Document]:
    """One batch. The model is made once for the batch, as weights would be loaded once."""
    model = {language: threes(words) for language, words in SAMPLES.items()}
    found = []
    for path in paths:
        seen = threes(Path(path).read_text(encoding="utf-8"))
        scores = {name: sum(seen[key] * (key in known) for key in seen) for name, known in model.items()}
        found.append(Document(path, max(scores, key=lambda name: scores[name])))
    return found


@dr.activity
def write_index(index: str, documents: list[Document]) -> dict[str, int]:
    """Replace the index as a whole, so that an attempt that is repeated leaves the same."""
    made = Path(f"{index}.new")
    made.write_text(json.dumps({Path(one.path).name: one.language for one in documents}, indent=1))
    made.replace(index)
    return dict(sorted(Counter(one.language for one in documents).items()))


@dr.orchestrator
async def index_documents(ctx: dr.OrchestrationContext, job: Job) -> dict[str, int]:
    """How many documents there are of each language."""
    paths = await ctx.call_activity(list_documents, job.source)
    batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
    results: list[Document] = []
    inferring = [ctx.call_activity(infer, batch) for batch in batches]
    for done, finished in enumerate(asyncio.as_completed(inferring), 1):
        results += await finished
        ctx.set_custom_status({"progress": done / len(batches)})
    return await ctx.call(write_index, job.index, sorted(results, key=lambda one: one.path))


def main(client: dr.Client, folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as made:
        source = Path(folder or made)
        if folder is None:
            for name, text in TEXTS.items():
                (source / name).write_text(text, encoding="utf-8")
        handle = client.start_new(index_documents, Job(str(source.resolve()), str(Path(made, "index.json"))))
        print(handle.wait_for_completion(timeout=120))


if __name__ == "__main__":
    main(dr.Client(), *sys.argv[1:2])
