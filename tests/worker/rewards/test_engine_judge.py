"""Graders that ask an engine: many questions at a time, and patience with one that is away."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from fettle.inference.client import Servable
from fettle.rewards import JudgeUnavailable
from fettle.rewards.judges import Question
from fettle.settings import Settings
from tests.api.served import served
from worker.rewards import engine_judge
from worker.rewards.engine_judge import EngineJudge

KEY = "the-engine-key"
REWARD_MODEL = Servable("ft:rm", "starter", "jobs/rm/1/adapter")
SERVABLES = {"alias": Servable("starter", "starter"), "ft:rm": REWARD_MODEL}
CONVERSATION = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


class Engine:
    """Answers by `answer`, and counts how many ask at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str | None] = set()
        self.answer: Callable[[dict[str, Any]], Response] = lambda body: said("fine")
        self.seconds = 0.0
        self.app = FastAPI()
        for path in ("/v1/chat/completions", "/pooling", "/v1/load_lora_adapter"):
            self.app.post(path)(self.reply)

    async def reply(self, request: Request) -> Response:
        body = await request.json()
        self.seen.append((request.url.path, body))
        self.keys.add(request.headers.get("authorization"))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1
        return self.answer(body)


def said(text: str | None, finish_reason: str = "stop", **message: Any) -> Response:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    return JSONResponse({"choices": [choice]})


def refused(status: int, code: str = "x", words: str = "no") -> Response:
    return JSONResponse({"error": {"message": words, "code": code}}, status)


def question(text: str = "q", model: str = "alias", **sampling: Any) -> Question:
    return Question(model, [{"role": "user", "content": text}], {"type": "object"}, sampling)


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    engine = Engine()
    with served(engine.app) as url:
        yield engine, url


@pytest.fixture
def judge_at() -> Iterator[Callable[..., EngineJudge]]:
    made: list[EngineJudge] = []

    def make(url: str, patience: float = 0.0) -> EngineJudge:
        settings = Settings(_env_file=None, engine_url=url, engine_key=KEY)
        made.append(EngineJudge(settings, SERVABLES, patience))
        return made[-1]

    yield make
    for judge in made:
        judge.close()


def words(answer: Any) -> tuple[str, str]:
    assert isinstance(answer, JudgeUnavailable)
    return answer.flag, str(answer)


class TestAsking:
    def test_it_asks_as_openais_api_is_asked_with_the_engines_key(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        judge = judge_at(engine[1])
        assert judge.ask([question("hello", temperature=0.5, seed=4, max_completions_tokens=20)]) == ["fine"]
        path, body = engine[0].seen[0]
        assert path == "/v1/chat/completions"
        assert (body["model"], body["max_completion_tokens"]) == ("starter", 20)  # by the alias's own name
        assert (body["temperature"], body["seed"], "top_p" in body) == (0.5, 4, False)
        assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
        assert engine[0].keys == {f"Bearer {KEY}"}

    def test_many_are_asked_side_by_side_up_to_a_bound_and_answered_in_order(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        engine[0].seconds = 0.1
        engine[0].answer = lambda body: said(body["messages"][0]["content"])
        texts = [str(number) for number in range(40)]
        assert judge_at(engine[1]).ask([question(text) for text in texts]) == texts
        assert engine[0].most == engine_judge.AT_ONCE

    def test_each_failure_is_its_own_and_has_openais_flag(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        answers = {
            "long": said("{", "length"),
            "refused": said(None, refusal="I will not"),
            "bad": refused(400, words="too bad"),
            "odd": JSONResponse([]),
            "fine": said("fine"),
        }
        engine[0].answer = lambda body: answers[body["messages"][0]["content"]]
        judge = judge_at(engine[1], patience=60)  # none of these is worth another try
        long, no, bad, odd, fine, unknown = judge.ask([*map(question, answers), question(model="nobody")])
        assert words(long) == (
            "model_grader_parse_error",
            "The response of 'alias' was cut off. Raise sampling_params.max_completions_tokens.",
        )
        assert words(no) == ("model_grader_refusal_error", "I will not")
        assert words(bad) == ("model_grader_server_error", "too bad")
        assert "does not follow OpenAI's API" in words(odd)[1]
        assert fine == "fine"
        assert words(unknown)[1] == "The model 'nobody' does not exist."
        assert len(engine[0].seen) == 5

    def test_where_the_usual_length_does_not_fit_the_engine_gives_what_room_there_is(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        full = refused(400, "context_length_exceeded", "too long")
        engine[0].answer = lambda body: full if "max_completion_tokens" in body else said("fine")
        judge = judge_at(engine[1])
        assert judge.ask([question()]) == ["fine"]
        assert words(judge.ask([question(max_completions_tokens=9)])[0])[1] == "too long"  # the grader's own word


class TestScoring:
    def test_conversations_go_in_parts_and_come_back_in_order(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        def scores(body: dict[str, Any]) -> Response:
            numbers = [int(conversation[0]["content"]) for conversation in body["conversations"]]
            entries = [{"error": {"message": "odd"}} if n == 3 else {"data": [n / 2]} for n in numbers]
            return JSONResponse({"data": entries})

        engine[0].answer = scores
        asked = [[{"role": "user", "content": str(number)}] for number in range(70)]
        found = judge_at(engine[1]).score("ft:rm", asked)
        assert words(found[3]) == ("model_grader_server_error", "odd")
        assert [value for value in found if not isinstance(value, JudgeUnavailable)] == [
            n / 2 for n in range(70) if n != 3
        ]
        assert sorted(len(body["conversations"]) for _, body in engine[0].seen) == [6, 32, 32]  # in any order

    def test_an_engine_that_has_forgotten_the_reward_model_loads_it_again(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        def reply(body: dict[str, Any]) -> Response:
            if "lora_name" in body:
                return Response()
            loaded = "/v1/load_lora_adapter" in [path for path, _ in engine[0].seen]
            return JSONResponse({"data": [{"data": [1.5]}]}) if loaded else refused(404)

        engine[0].answer = reply
        assert judge_at(engine[1]).score("ft:rm", [CONVERSATION]) == [1.5]
        assert engine[0].seen[1][1] == {
            "lora_name": "ft:rm",
            "lora_path": "jobs/rm/1/adapter",
            "base_model_name": "starter",
        }

    def test_a_refusal_is_each_conversations(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        engine[0].answer = lambda body: refused(400, "reward_models_not_served", "a vLLM that writes")
        found = judge_at(engine[1], patience=60).score("ft:rm", [CONVERSATION] * 2)
        assert [words(word)[1] for word in found] == ["a vLLM that writes"] * 2


class TestPatience:
    def test_an_engine_that_restarts_is_waited_for(self, judge_at: Callable[..., EngineJudge]) -> None:
        listener = socket.socket()  # bound, so that nobody else takes the port, but it does not listen yet
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(Engine().app, port=port, log_config=None, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=lambda: (time.sleep(1), server.run(sockets=[listener])))
        thread.start()
        assert judge_at(f"http://127.0.0.1:{port}", patience=120).ask([question()] * 3) == ["fine"] * 3
        server.should_exit = True
        thread.join()

    def test_one_that_is_full_or_just_starting_is_asked_again(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        answers = iter([refused(429), refused(503), said("fine")])
        engine[0].answer = lambda body: next(answers)
        assert judge_at(engine[1], patience=120).ask([question()]) == ["fine"]

    @pytest.mark.parametrize("patience", [0.0, 0.6])
    def test_one_that_stays_away_is_given_up_by_all_questions_together(
        self, judge_at: Callable[..., EngineJudge], patience: float
    ) -> None:
        began = time.monotonic()
        answers = judge_at("http://127.0.0.1:1", patience).ask([question()] * 100)
        assert {words(answer)[0] for answer in answers} == {"model_grader_server_error"}
        assert "is not responding" in words(answers[0])[1]
        assert patience / 3 <= time.monotonic() - began < patience + 30  # not for each question anew

    def test_a_key_that_the_engine_does_not_know_is_not_tried_again(
        self, engine: tuple[Engine, str], judge_at: Callable[..., EngineJudge]
    ) -> None:
        engine[0].answer = lambda body: refused(401)
        (answer,) = judge_at(engine[1], patience=60).ask([question()])
        assert "FETTLE_ENGINE_KEY" in words(answer)[1]
        assert len(engine[0].seen) == 1
