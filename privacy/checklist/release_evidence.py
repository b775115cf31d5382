"""What cards, plan and reports of quality answer to the checklist."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from privacy.checklist.items import Evidence, Mark
from privacy.targets.release_documents import ReleaseDocuments

if TYPE_CHECKING:
    from privacy.targets.release_documents import GeneratorCard, Plan

CARD, PLAN, QUALITY, STATED = (
    "visionclip.json",
    "plan.json",
    "report.json (synth evaluate)",
    "publication.yaml",
)


def evidence(documents: ReleaseDocuments) -> dict[str, list[Evidence]]:
    """Key of an item -> what the files of a release answer to it."""
    found = {key: list(answer(documents)) for key, answer in _ANSWERS.items()}
    if documents.card:
        found |= {key: list(answer(documents.card)) for key, answer in _OF_CARD.items()}
    if documents.plan:
        found |= {key: [answer(documents.plan)] for key, answer in _OF_PLAN.items()}
    return found


def _responsible(documents: ReleaseDocuments) -> Iterator[Evidence]:
    stated = documents.publication
    if stated and stated.authors:
        names = ", ".join(stated.authors)
        yield Evidence(f"Published by {names}.", f"发布者：{names}。", STATED, "partly")


def _population(card: "GeneratorCard") -> Iterator[Evidence]:
    for origin in card.trained_on:
        images, people = _count(origin.images), _count(origin.subjects)
        yield Evidence(
            f"Learnt from {origin.title}: {images} photographs, {people} people; ages, sexes, origins and cameras are not told.",
            f"训练数据 {origin.title}：{images} 张照片，{people} 人；年龄、性别、族群与相机未说明。",
            CARD,
            "partly",
        )


def _labels(plan: "Plan") -> Evidence:
    total = sum(entry.weight for entry in plan.mix)
    largest = max(entry.weight for entry in plan.mix) / total
    return Evidence(
        f"{plan.n:,} pictures of {len(plan.mix):,} label combinations; the commonest is {largest:.1%} of what was asked for. The card counts each label.",
        f"{plan.n:,} 张图像，{len(plan.mix):,} 种标签组合，最常见者占所求的 {largest:.1%}；数据卡列出每个标签的数目。",
        PLAN,
        "yes",
    )


def _fidelity(documents: ReleaseDocuments) -> Iterator[Evidence]:
    quality, plan = documents.quality, documents.plan
    measured = [each for each in quality.fidelity if each.auc.value is not None] if quality else []
    if measured:
        each = ", ".join(
            f"{one.key} {_three(one.auc.value)} ({_three(one.auc.low)}–{_three(one.auc.high)})"
            for one in measured
        )
        yield Evidence(
            f"AUC with which a classifier of real photographs sees what was asked for: {each}.",
            f"以真实照片训练的分类器识别所求标签的 AUC：{each}。",
            QUALITY,
            "yes",
        )
    if plan and plan.filters and plan.filters.mislabelled:
        names = ", ".join(plan.filters.mislabelled.checks)
        yield Evidence(
            f"Pictures that contradict {names} in the eyes of a classifier were drawn again.",
            f"分类器认为与 {names} 矛盾的图像已重新生成。",
            PLAN,
            "partly",
        )


def _usefulness(documents: ReleaseDocuments) -> Iterator[Evidence]:
    headline = documents.quality.utility.headline if documents.quality else None
    if headline and headline.ratio.value is not None:
        ratio, diseases = headline.ratio, ", ".join(headline.diseases)
        yield Evidence(
            f"A classifier taught by the release reaches {_three(ratio.value)} ({_three(ratio.low)}–{_three(ratio.high)}) of the mean "
            f"AUC of one taught by real photographs ({diseases}). {headline.doubt}".strip(),
            f"以发布集训练的分类器达到真实照片所训练者平均 AUC 的 {_three(ratio.value)}（{_three(ratio.low)}–{_three(ratio.high)}；{diseases}）。"
            + ("真实照片本身在此未超过随机水平，该比值说明不了什么。" if headline.doubt else ""),
            QUALITY,
            "partly" if headline.doubt else "yes",
        )


def _reproducible(plan: "Plan") -> Evidence:
    print_, weights = plan.fingerprint[:16], plan.model[:16]
    return Evidence(
        f"Picture i is a function of plan {print_}, seed {plan.seed}, and the weights {weights}.",
        f"第 i 张图像由计划 {print_}、种子 {plan.seed} 与权重 {weights} 唯一确定。",
        PLAN,
        "yes",
    )


def _bound(card: "GeneratorCard") -> Iterator[Evidence]:
    given = card.differential_privacy
    if given is None:
        yield Evidence("Trained without differential privacy.", "训练未使用差分隐私。", CARD, "no")
        return
    yield Evidence(
        f"ε = {given.epsilon:.2f} at δ = {given.delta:.2g} for each {given.unit} of {given.patients:,} (one who is added or removed).",
        f"每名患者（共 {given.patients:,} 名，增减一人）ε = {given.epsilon:.2f}，δ = {given.delta:.2g}。",
        CARD,
        "yes",
    )


def _rejected(plan: "Plan") -> Evidence:
    copies = plan.filters.copies if plan.filters else None
    if copies is None:
        return Evidence("Drawn without such a filter.", "生成时未作此筛选。", PLAN, "no")
    return Evidence(
        f"Compared with {copies.photographs:,} training photographs of {copies.patients:,} patients; what came nearer than held-out "
        "patients do was drawn again.",
        f"与 {copies.patients:,} 名患者的 {copies.photographs:,} 张训练照片比较，比留出患者更接近者已重新生成。",
        PLAN,
        "yes",
    )


def _checksums(documents: ReleaseDocuments) -> Iterator[Evidence]:
    if documents.card and documents.card.files:
        count = len(documents.card.files)
        yield Evidence(
            f"{count} files of weights and settings with their sha256.",
            f"{count} 个权重与设置文件带 sha256。",
            CARD,
            "yes",
        )
    if documents.plan:
        yield Evidence(
            "Every shard has its sha256 beside it; 'synth verify' compares them.",
            "每个分片旁有其 sha256，'synth verify' 逐一比对。",
            PLAN,
            "yes",
        )


def _synthetic(plan: "Plan") -> Evidence:
    return Evidence(
        f"The column 'source' of all {plan.n:,} records names the generator, and the card says that no photograph of a patient is there.",
        f"全部 {plan.n:,} 条记录的 source 列写明由生成器生成，数据卡写明不含患者照片。",
        PLAN,
        "yes",
    )


def _model(card: "GeneratorCard") -> Iterator[Evidence]:
    size, count = card.preprocessing.size, len(card.config)
    yield Evidence(
        f"{card.images:,} photographs shown in training, {size} x {size} pixels; the card keeps {count} groups of settings and the versions of the libraries.",
        f"训练中展示 {card.images:,} 张照片，{size} x {size} 像素；模型卡保存 {count} 组设置及软件库版本。",
        CARD,
        "yes",
    )


def _licence(documents: ReleaseDocuments) -> Iterator[Evidence]:
    sources = documents.card.trained_on if documents.card else []
    if not documents.publication:
        return
    licence, titles = documents.licence, "; ".join(origin.title for origin in sources)
    mark: Mark = "yes" if licence and sources else "partly" if licence or sources else "open"
    yield Evidence(
        f"Licence: {licence or 'not set'}; sources cited: {titles or 'none recorded'}.",
        f"许可证：{licence or '未设定'}；所引来源：{titles or '无记录'}。",
        f"{STATED}, {CARD}",
        mark,
    )


def _computation(documents: ReleaseDocuments) -> Iterator[Evidence]:
    made = documents.computation
    if made:
        drawing = "" if made.drawing is None else f", drawing {made.drawing / 1e15:.3g}"
        drawn = "" if made.drawing is None else f"，生成 {made.drawing / 1e15:.3g}"
        yield Evidence(
            f"Operations of the denoiser in 10^15: training {made.training / 1e15:.3g}{drawing}; what was tried before is not counted.",
            f"去噪网络的运算量（10^15 次）：训练 {made.training / 1e15:.3g}{drawn}；此前的尝试未计入。",
            CARD,
            "yes",
        )


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


_ANSWERS: dict[str, Callable[[ReleaseDocuments], Iterator[Evidence]]] = {
    "accountability.responsible": _responsible,
    "integrity.labels": _fidelity,
    "integrity.usefulness": _usefulness,
    "security.checksums": _checksums,
    "transparency.licence": _licence,
    "environment.computation": _computation,
}
_OF_CARD: "dict[str, Callable[[GeneratorCard], Iterator[Evidence]]]" = {
    "equity.population": _population,
    "privacy.bound": _bound,
    "transparency.model": _model,
}
_OF_PLAN: "dict[str, Callable[[Plan], Evidence]]" = {
    "equity.labels": _labels,
    "integrity.reproducible": _reproducible,
    "privacy.copies_rejected": _rejected,
    "transparency.synthetic": _synthetic,
}
