"""Predictions of many tables, a Parquet file for each, in memory that does not grow with them."""

from seqloom.shards.predict import predict_shards

__all__ = ["predict_shards"]
