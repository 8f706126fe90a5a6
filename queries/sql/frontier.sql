-- Until when everything of a run is known and stored; of the live one, or the newest, if none is named.
SELECT frontier FROM runs WHERE $run IS NULL OR run_id = $run
ORDER BY CASE run_id WHEN 'live' THEN 0 ELSE 1 END, frontier DESC
LIMIT 1
