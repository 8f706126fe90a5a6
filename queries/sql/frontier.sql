-- Until when everything is known and stored.
SELECT max(frontier) AS frontier FROM runs
