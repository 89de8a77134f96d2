import pytest

from tests.api.tenants import Tenant, message, refusal

JOBS = "/v1/fine_tuning/jobs"


class TestRetry:
    RETRY = {"x-stainless-retry-count": "1"}  # noqa: RUF012

    async def test_what_the_sdk_sends_again_answers_with_the_first_job(self, tenant: Tenant) -> None:
        job = await tenant.job(suffix="once", training_file=(await tenant.upload())["id"])
        again = await tenant.create(self.RETRY, suffix="once", training_file=job["training_file"])
        assert (again.status_code, again.json()) == (200, job)
        assert len((await tenant.http.get(JOBS)).json()["data"]) == 1

    async def test_a_retry_whose_first_try_never_came_creates(self, tenant: Tenant) -> None:
        assert (await tenant.create(self.RETRY)).status_code == 200

    async def test_a_retry_with_another_body_creates(self, tenant: Tenant) -> None:
        job = await tenant.job(suffix="one")
        other = await tenant.create(self.RETRY, suffix="two", training_file=job["training_file"])
        assert other.json()["id"] != job["id"]

    @pytest.mark.parametrize("headers", [None, {"x-stainless-retry-count": "0"}])
    async def test_the_same_body_as_a_first_try_is_a_second_job(
        self, tenant: Tenant, headers: dict[str, str] | None
    ) -> None:
        job = await tenant.job()
        assert (await tenant.create(headers, training_file=job["training_file"])).json()["id"] != job["id"]

    async def test_a_retried_refusal_is_the_same_refusal(self, tenant: Tenant) -> None:
        answers = [await tenant.create(headers, model="gpt-5") for headers in (None, self.RETRY)]
        assert refusal(answers[0]) == refusal(answers[1])


class TestIdempotencyKey:
    KEY = {"Idempotency-Key": "order-66"}  # noqa: RUF012

    async def test_the_same_key_and_body_answer_with_the_first_job(self, tenant: Tenant) -> None:
        file = (await tenant.upload())["id"]
        first, second = [await tenant.create(self.KEY, training_file=file) for _ in range(2)]
        assert (second.status_code, second.json()) == (200, first.json())

    async def test_another_body_is_a_conflict_that_no_retry_mends(self, tenant: Tenant) -> None:
        job = (await tenant.create(self.KEY)).json()
        answer = await tenant.create(self.KEY, training_file=job["training_file"], seed=5)
        assert refusal(answer) == (409, "idempotency_key_reused", None)
        assert answer.headers["x-should-retry"] == "false"
        assert "'order-66'" in message(answer)

    async def test_another_key_is_another_job(self, tenant: Tenant) -> None:
        file = (await tenant.upload())["id"]
        answers = [await tenant.create({"Idempotency-Key": key}, training_file=file) for key in "ab"]
        assert answers[0].json()["id"] != answers[1].json()["id"]

    async def test_a_refused_request_does_not_use_its_key_up(self, tenant: Tenant) -> None:
        assert (await tenant.create(self.KEY, model="gpt-5")).status_code == 404
        assert (await tenant.create(self.KEY)).status_code == 200

    @pytest.mark.parametrize(
        ("headers", "param"),
        [
            ({"Idempotency-Key": ""}, "idempotency-key"),
            ({"Idempotency-Key": "k" * 256}, "idempotency-key"),
            ({"x-stainless-retry-count": "often"}, "x-stainless-retry-count"),
        ],
    )
    async def test_a_bad_header_is_refused_by_name(self, tenant: Tenant, headers: dict[str, str], param: str) -> None:
        assert refusal(await tenant.create(headers)) == (400, "invalid_value", param)
