"""What a report says of where its numbers come from: the model and the records."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from clip.benchmarks import BenchmarkSummary


class Ordered(BaseModel):
    """A part of a file: only what was set is written, in the order of `ORDER`, then what has no field, then other fields."""

    model_config = ConfigDict(
        extra="allow", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )
    ORDER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values, extra = handler(self), self.model_extra or {}
        named = {key: values[key] for key in (*self.ORDER, *extra) if key in values}
        fields = type(self).model_fields
        unset = {fields[name].alias or name for name in fields.keys() - self.model_fields_set}
        return {key: value for key, value in (named | values).items() if key not in unset}


class ModelProvenance(BaseModel):
    """Which model a report is on."""

    path: str
    sha256: str | None
    images: int | None
    """Pairs seen in training."""
    training_data: str | None
    """Fingerprint of the records that it was trained on."""
    preprocessing: dict[str, Any]
    training: dict[str, Any] | None
    """Settings of its training."""


class DataProvenance(Ordered):
    """Which records a report is on."""

    ORDER = ("data", "fingerprint", "splits", "rows")

    data: str
    fingerprint: str
    splits: list[str]
    rows: int
    benchmark: BenchmarkSummary | None = None

    def with_import(self, data: str, imported: dict[str, Any] | None) -> Self:
        """The same, of files that were imported for the length of an evaluation; `data` is what the user knows them by."""
        return self.model_copy(update={"data": data} | ({} if imported is None else {"import": imported}))

    def of_benchmark(self, data: str, imported: dict[str, Any], benchmark: BenchmarkSummary) -> Self:
        """The same, of a public set."""
        return self.with_import(data, imported).model_copy(update={"benchmark": benchmark})
