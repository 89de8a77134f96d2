"""Which base models can become a reward model: where transformers has one linear `score` for the LM head's place."""

from collections.abc import Mapping
from typing import Any

# Model types that transformers loads with AutoModelForCausalLM, but not with such a head. A test reads transformers
TYPES = """
afmoe apertus aria_text bailing_hybrid bamba bart beam bert bert-generation big_bird bigbird_pegasus bitnet
blenderbot blenderbot-small blt camembert codegen cohere cohere2 cohere2_moe cpmant ctrl cwm data2vec-text dbrx
deepseek_v32 deepseek_v4 dots1 dots3_note dots3_note_text electra emu3 ernie ernie4_5 ernie4_5_moe exaone_moe
falcon_h1 falcon_mamba flex_olmo flint fuyu gemma3n gemma3n_text gemma4 gemma4_assistant gemma4_text gemma4_unified
gemma4_unified_assistant gemma4_unified_text git glm4_moe glm4_moe_lite glm_moe_dsa got_ocr2 gpt_neox_japanese
granite granite_swa granitemoe granitemoe_swa granitemoehybrid granitemoeshared hrm_text hy_v3 hy_v4 hyperclovax
inkling2_text inkling_text internlm3 iquestcoder jais2 kimi_linear kolibri1 laguna lfm2 lfm2_moe lfm3 llama4
llama4_text longcat_flash mamba mamba2 marian mbart megatron-bert mellum mimo_v2_flash minimax_m2 minimax_m3_vl_text
mllama modernbert-decoder moshi moss_transcribe_diarize musicgen musicgen_melody mvp nanochat nemotron_h olmo_hybrid
olmoe pegasus phi4_multimodal plbart prophetnet qwen3_5_moe qwen3_5_moe_text qwen4_exp qwen4_exp_text
recurrent_gemma reformer rembert roberta roberta-prelayernorm roc_bert roformer rwkv solar_open trocr vaultgemma
whisper xglm xlm xlm-roberta xlm-roberta-xl xlnet xlstm xmod youtu zaya
"""
WITHOUT = frozenset(TYPES.split())


def flaw(base_model: str, config: Mapping[str, Any]) -> str | None:
    """Why this base cannot become a reward model, and what to do instead. config: of its config.json."""
    kind = config.get("model_type")
    if kind not in WITHOUT:
        return None
    return (
        f"The base model {base_model!r} is of the type {kind!r}. transformers cannot give this type the score head "
        "that a reward model needs. Choose another base model, or the method 'dpo' or 'reinforcement'."
    )
