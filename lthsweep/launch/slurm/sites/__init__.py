"""Job settings for one cluster, merged from profile, partition and sweep file."""
