"""vLLM in the engine's place: the agent on its host that fetches adapters, and passes everything else on."""
