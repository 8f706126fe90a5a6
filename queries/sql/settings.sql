-- The settings that shaped rows, by their hash.
SELECT config FROM runs WHERE config_hash = $hash ORDER BY frontier DESC LIMIT 1
