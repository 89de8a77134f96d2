"""Which of the waiting requests are decoded together next."""

from collections import deque

from worker.engine.requests import Request

MAX_ROWS = 64  # beyond it a step's time grows with the rows, and nobody gains
MAX_POSITIONS = 131_072  # of key-value cache: 19 GB for an 8 B model in bf16, next to its 16 GB of weights


def admit(waiting: deque[Request]) -> list[Request]:
    """Takes the oldest request and every other one for the same model that fits beside it, oldest first.

    Cancelled ones are thrown out on the way. A request that is too large for any batch has one to itself.
    """
    while waiting and waiting[0].cancelled:
        waiting.popleft()
    if not waiting:
        return []
    admitted = [waiting.popleft()]
    rows, width = admitted[0].sampling.n, admitted[0].width
    for request in list(waiting):
        if request.cancelled:
            waiting.remove(request)
            continue
        more, widest = rows + request.sampling.n, max(width, request.width)
        if request.key == admitted[0].key and more <= MAX_ROWS and more * widest <= MAX_POSITIONS:
            waiting.remove(request)
            admitted.append(request)
            rows, width = more, widest
    return admitted
