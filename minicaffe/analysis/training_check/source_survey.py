"""Survey of the records that a data layer reads: number, labels, order and sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from minicaffe.analysis.training_check.finding import Finding
from minicaffe.data.augmentation import AUGMENTATION_FIELDS
from minicaffe.data.batches import ImageBatches
from minicaffe.data.survey import DatasetSurvey
from minicaffe.layers.batch_layer import BatchLayer

MOST_RECORDS = 100_000
_CHUNK = 256  # records read at once, of which the first is decoded
# Of the changes of a label in a random order; records with fewer changes are sorted.
_SORTED_SHARE = 0.2
_CROPS = frozenset({"crop_size", "crop_h", "crop_w"})


class SourceSurvey:
    """Labels of the first records of a data layer, and shapes of some of them.

    Records are read from a source of their own, so that the layer is not advanced.

    Parameters
    ----------
    layer : BatchLayer

    Attributes
    ----------
    n : int or None
        Number of samples, if it is known.
    batch : int
        Samples in a batch.
    label_counts : Counter
        Records read, by label: nothing for layers whose records are no images with a label.
    is_whole : bool
        Whether all records were read.
    """

    def __init__(self, layer: BatchLayer) -> None:
        self.layer = layer
        self.batch = layer.source.shapes[0][0]
        self.n = layer.count_samples(1 << 62)
        self._images = DatasetSurvey(layer.where)
        self._changes = 0
        source = layer.open()
        try:
            if isinstance(source, ImageBatches) and self.n:
                self._read(source, min(self.n, MOST_RECORDS))
        finally:
            source.close()
        self.is_whole = self.label_counts.total() == self.n

    @property
    def label_counts(self) -> Counter[int]:
        """Records by label."""
        return self._images.labels

    def _read(self, source: ImageBatches, n: int) -> None:
        last: float | None = None
        while n:
            records = source.next_records(min(_CHUNK, n))
            n -= len(records)
            self._images.shapes[records[0].load().shape] += 1
            for record in records:
                self._images.labels[int(record.label)] += 1
                self._changes += last is not None and record.label != last
                last = record.label

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the sizes and the number of images."""
        if self.n is not None and self.n < self.batch and self.layer.is_training:
            yield Finding(
                f"{self.layer.where}: a batch of {self.batch} is more than the {self.n} samples of "
                "the data, so that every batch repeats some. Lower batch_size."
            )
        fields = {field.name for field, _ in self.layer.param.transform_param.ListFields()}
        shapes = self._images.shapes
        if len(shapes) > 1 and self.batch > 1 and not fields & (_CROPS | AUGMENTATION_FIELDS):
            examples = ", ".join(" x ".join(map(str, shape)) for shape, _ in shapes.most_common(3))
            yield Finding(
                f"{self.layer.where}: images have different sizes ({examples}), and a batch has "
                "one. Convert them with --resize_height and --resize_width, set crop_size, or "
                "batch_size: 1.",
                is_error=True,
            )

    def label_findings(self) -> Iterator[Finding]:
        """Yield what is unusual about labels that are classes to be learnt."""
        where, total = self.layer.where, self.label_counts.total()
        if len(self.label_counts) == 1 < total:
            yield Finding(
                f"{where}: all {total} labels read are {next(iter(self.label_counts))}: a net "
                "learns nothing from one class. Add the other classes, or shuffle the records."
            )
        yield from map(Finding, self._images.label_remarks())
        expected = self._expected_changes()
        if self.batch > 1 and expected >= 10 and self._changes < _SORTED_SHARE * expected:
            yield Finding(
                f"{where}: the records are sorted by class: the label changes {self._changes} "
                f"times in {total} records, so that batches have few classes and training hardly "
                "learns. Shuffle them: minicaffe db shuffle, or --shuffle of convert_imageset, or "
                "shuffle: true."
            )

    def _expected_changes(self) -> float:
        """Return how often the label changes on average if the order is random."""
        n = self.label_counts.total()
        return n - sum(count * count for count in self.label_counts.values()) / n if n else 0.0
