"""The paper's pipelines: all but the weights is checked here, and trains with small ones; what they would cost on a named card."""

from __future__ import annotations

import pytest

from score_rag.errors import InputError, ModelError
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.estimate import KNOWN, UTILISATION, ModelSize, Rows, _from_config, estimate, model_size
from score_rag.pipeline.gpus import GPUS, Gpu, find_gpu
from score_rag.pipeline.stages import stages
from score_rag.settings import BUNDLED

PAPERS = ("paper-ml-1m", "paper-amazon-games")
# The published configurations, as far as they say how large a model is.
CONFIGS = {
    "meta-llama/Llama-3.1-8B-Instruct": {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 128256,
        "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_act": "silu", "tie_word_embeddings": False,
    },
    "sentence-transformers/all-mpnet-base-v2": {
        "architectures": ["MPNetForMaskedLM"], "hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 30527,
        "intermediate_size": 3072, "num_attention_heads": 12, "hidden_act": "gelu",
    },
    "BAAI/bge-reranker-large": {
        "architectures": ["XLMRobertaForSequenceClassification"], "hidden_size": 1024, "num_hidden_layers": 24, "vocab_size": 250002,
        "intermediate_size": 4096, "num_attention_heads": 16, "hidden_act": "gelu",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_pipeline_says_what_the_paper_says(name):
    pipeline = load_pipeline(name)
    assert pipeline.crm.model == "sasrec" and pipeline.crm.neighbours == 5, "Kc"
    assert "mpnet-base" in pipeline.retriever.encoder and 10 <= pipeline.retriever.similarity_top_k <= 15, "Ke"
    assert pipeline.reranker.encoder == "BAAI/bge-reranker-large" and pipeline.reranker.supervision == "assessment"
    assert "glm-4-plus" in pipeline.reranker.assessor and pipeline.reranker.pairs == 10_000 and pipeline.reranker.top_n in (1, 2), "Ks"
    assert pipeline.predictor.base == "meta-llama/Llama-3.1-8B-Instruct" and pipeline.predictor.neighbours == "any"


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_pipeline_is_right_down_to_its_weights(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    pipeline = load_pipeline(name)
    wanted = {"retriever": pipeline.retriever.encoder, "reranker": pipeline.reranker.encoder, "predictor": pipeline.predictor.base}
    for stage in stages(pipeline):
        if stage.name in wanted:
            with pytest.raises(ModelError) as caught:
                stage.check(pipeline)
            assert wanted[stage.name] in str(caught.value) and "hf download" in str(caught.value)
        elif stage.check is not None:
            stage.check(pipeline)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_pipeline_trains_with_small_weights(name, toy_pipeline, tmp_path):
    """The very file, on the toy world: only models, the assessor and sizes are others."""
    from score_rag.pipeline.run import Run
    from score_rag.pipeline.runner import run
    from score_rag.predictor.base import fit_tokenizer, new_llama, save_base
    from score_rag.prompts import find_prompt

    base = tmp_path / "llama"
    text = find_prompt("predict").body + " Yes No Sunny Dark Garden Comedy Romance Horror Thriller"
    tokenizer = fit_tokenizer([text] * 3, base, vocabulary=400)
    save_base(new_llama(tokenizer, width=16, layers=1, heads=2, max_tokens=1024, seed=0), base)
    small = [
        f"runs={tmp_path / 'runs'}", f"predictor.base={base}", "predictor.dtype=float32", "predictor.examples=40",
        "predictor.valid_examples=40", "predictor.epochs=1", "predictor.trainer.accumulation=1", "retriever.encoder=bundled",
        "retriever.tune_layers=1", "retriever.epochs=1", "retriever.max_tokens=64", "reranker.encoder=bundled", "reranker.layers=1",
        "reranker.similarity_encoder=bundled", "reranker.assessor=score-rag/offline", "reranker.pairs=24", "reranker.epochs=1",
        "reranker.max_tokens=96", "crm.dim=16", "crm.heads=2", "crm.epochs=4", "data.source=table", "data.split=column",
        f"data.path={load_pipeline(str(toy_pipeline)).data.path}",
    ]  # fmt: skip
    pipeline = load_pipeline(name, overrides=small)
    done = run(pipeline, stages(pipeline))
    assert [stage.action for stage in done] == ["ran"] * 6
    found = Run.open(pipeline)
    question = found.finder.questions([next(iter(found.interactions.rows("test")))])
    contexts, told = found.write(question)
    assert len(contexts[0].kept) == pipeline.reranker.top_n and "similar taste" in told[0].text
    assert "disliked" not in told[0].text.split("The item")[0], "positives only"
    assert 0 < found.predictor.score([told[0].text])[0].probability < 1


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_in_the_table_are_those_of_the_published_configurations(name):
    found, told = _from_config(CONFIGS[name]), KNOWN[name]
    assert found.parameters == pytest.approx(told.parameters, rel=0.02)
    assert (found.layers, found.width) == (told.layers, told.width) and found.embeddings == told.embeddings


def test_the_size_of_a_folder_is_that_of_its_weights(tmp_path):
    from score_rag.predictor.base import fit_tokenizer, new_llama, save_base

    tokenizer = fit_tokenizer(["one two three"], tmp_path, vocabulary=300)
    model = new_llama(tokenizer, width=32, layers=3, heads=2, max_tokens=64, seed=0)
    save_base(model, tmp_path)
    found = model_size(str(tmp_path))
    # Norms are left out: a few numbers a layer.
    assert found is not None and found.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.02)
    assert (found.layers, found.width) == (3, 32) and model_size(str(tmp_path / "nowhere")) is None


def test_hours_and_memory_are_arithmetic():
    gpu = Gpu("made-up", 80, 100.0)
    rows = Rows(users=800, train=30_000, valid=10_000, scored=7_000)
    plain = load_pipeline("paper-ml-1m", overrides=["predictor.trainer.checkpoint_gradients=false", "predictor.valid_examples=100"])
    cost = {one.stage: one for one in estimate(plain, rows, gpu)}
    llama, cross = KNOWN[plain.predictor.base], KNOWN[plain.reranker.encoder]
    pair = 2 * cross.computed * 15 * 512
    tuned = 4 * 30_000 * 3 * 1024 + 2 * 100 * (3 + 2) * 1024
    flops = llama.computed * tuned + 30_100 * pair
    assert cost["predictor"].hours == pytest.approx(flops / (100e12 * UTILISATION) / 3600)
    assert cost["evaluate"].hours == pytest.approx(7_000 * (2 * llama.computed * 1024 + pair) / (100e12 * UTILISATION) / 3600)
    assert cost["predictor"].memory > 2 * llama.parameters
    twice = {one.stage: one for one in estimate(load_pipeline("paper-ml-1m"), rows, gpu)}
    assert twice["predictor"].memory < cost["predictor"].memory and twice["predictor"].hours > cost["predictor"].hours
    four = load_pipeline("paper-ml-1m", overrides=["predictor.quantize=4bit"])
    assert estimate(four, rows, gpu)[2].memory < twice["predictor"].memory - llama.parameters
    assert twice["predictor"].fits and not estimate(load_pipeline("paper-ml-1m"), rows, find_gpu("t4"))[2].fits
    faster = Gpu("faster", 80, 200.0)
    assert estimate(plain, rows, faster)[2].hours == pytest.approx(cost["predictor"].hours / 2)


def test_an_unknown_model_or_card_is_said_to_be():
    rows = Rows(10, 100, 10, 10)
    strange = load_pipeline("paper-ml-1m", overrides=["predictor.base=who/knows", "retriever.encoder=who/else"])
    found = {one.stage: one for one in estimate(strange, rows, GPUS["a100-80"])}
    assert found["predictor"].hours is None and "who/knows" in found["predictor"].told and found["retriever"].memory is None
    assert estimate(load_pipeline("sample"), rows, GPUS["l4"])[2].hours is None
    with pytest.raises(InputError, match="a100"):
        find_gpu("a100-8")
    assert ModelSize(10.0, 1, 1, 4.0).computed == 6.0 and BUNDLED in KNOWN


def test_the_dry_run_tells_hours_and_memory(toy_run, monkeypatch, capsys):
    from test_cli import typed

    words = ["run", str(toy_run.path), "--dry-run", "--gpu", "a100-80"]
    left, out, _ = typed(monkeypatch, capsys, *words)
    assert left == 0 and "on one a100-80" in out and "retriever" in out and "GB" in out
    left, _, err = typed(monkeypatch, capsys, "run", "sample", "--gpu", "a100-80")
    assert left == 2 and "--dry-run" in err
    left, _, err = typed(monkeypatch, capsys, *words[:-1], "a100-81")
    assert left == 2 and "did you mean 'a100-80'" in err
