-- Up Migration

-- Makes the table of an interval of n sessions; nothing where it is there.
CREATE FUNCTION create_silver_table(n integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := format('silver_%sd', n);
  allowed text;
BEGIN
  IF n IS NULL OR n < 1 THEN
    RAISE EXCEPTION 'an interval of % sessions: expected 1 at least', n USING ERRCODE = 'invalid_parameter_value';
  END IF;
  LOCK TABLE public.silver_files IN SHARE ROW EXCLUSIVE MODE;
  IF to_regclass('public.' || name) IS NOT NULL THEN RETURN; END IF;
  EXECUTE format('CREATE TABLE public.%I (
    symbol text COLLATE "C" NOT NULL,
    date date NOT NULL,
    end_date date NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision NOT NULL,
    vwap double precision,
    bars integer NOT NULL,
    complete boolean NOT NULL,
    PRIMARY KEY (symbol, date)
  )', name);
  EXECUTE format('CREATE INDEX %I ON public.%I USING brin (date) WITH (pages_per_range = 32, autosummarize = on)', name || '_date', name);
  -- Whoever may use silver_files may use the table.
  FOR allowed IN
    SELECT format('GRANT %s ON public.%I TO %s', a.privilege_type, name,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
    FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.oid = 'public.silver_files'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE allowed;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION create_silver_table FROM PUBLIC;

-- The month files of silver that the tables have the rows of, those of a month all of one division into shards. Whoever changes a
-- month holds its advisory lock, and reads the checkpoints in the lake under it: what is late is not put in the place of what is new.
-- A table that was changed by hand is made anew when it is truncated and its rows here are deleted.
CREATE TABLE silver_files (
  interval_sessions integer NOT NULL,
  month date NOT NULL,
  shard_index integer NOT NULL,
  shard_count integer NOT NULL,
  digest text NOT NULL,
  PRIMARY KEY (interval_sessions, month, shard_index, shard_count)
);

SELECT create_silver_table(n) FROM unnest(ARRAY[3, 5, 8, 13, 21, 34]) AS n;

-- Down Migration

DO $$
DECLARE
  n integer;
BEGIN
  FOR n IN SELECT interval_sessions FROM silver_files UNION SELECT unnest(ARRAY[3, 5, 8, 13, 21, 34]) LOOP
    EXECUTE format('DROP TABLE IF EXISTS %I', format('silver_%sd', n));
  END LOOP;
END $$;
DROP TABLE silver_files;
DROP FUNCTION create_silver_table;
