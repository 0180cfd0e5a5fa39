#!/bin/bash
# A Slurm array, one task a shard:
#
#   job=$(sbatch --parsable examples/shards/slurm.sh sample candidates.parquet scores)
#   sbatch --dependency=afterok:$job --wrap "score-rag shards merge scores --output scores.parquet"
#
# A task that was killed or requeued goes on where it stood. --array=0-15%4 runs four at a time; one that failed is tried again by
# sbatch --array=7 examples/shards/slurm.sh sample candidates.parquet scores. For another number of shards, say it twice:
# sbatch --array=0-63 examples/shards/slurm.sh sample candidates.parquet scores 64.
#SBATCH --job-name=score-rag
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=score-rag-%A-%a.log
set -euo pipefail

pipeline=$1 input=$2 output=$3
shards=${4:-16}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# Status 4: the shard is done, and some of its rows failed (errors-*.parquet). The merge tells how many.
score-rag score "$pipeline" --input "$input" --output "$output" --shard "$SLURM_ARRAY_TASK_ID/$shards" || [ $? -eq 4 ]
