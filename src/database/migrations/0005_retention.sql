-- Up Migration

-- What retention did, a row for each month and try. Those of one run have the same number.
CREATE TABLE data_retention_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run uuid NOT NULL,
  month date NOT NULL,
  cutoff date NOT NULL,
  status text NOT NULL CHECK (status IN ('archived', 'failed')),
  rows bigint,
  volume numeric,
  error text,
  run_by text NOT NULL DEFAULT session_user,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((status = 'archived') = (rows IS NOT NULL AND volume IS NOT NULL AND error IS NULL))
);

-- Moves the bars of a month to the archive: all of it with the transaction's end, or nothing. Says how many they were; says so
-- again to the run that did it, and nothing of a month that another run has archived, or that is not there.
CREATE FUNCTION archive_ohlcv_month(month date, cutoff date, run uuid DEFAULT gen_random_uuid())
RETURNS TABLE (rows bigint, volume numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  next_month CONSTANT date := month + interval '1 month';
  partition CONSTANT text := 'raw_ohlcv_' || to_char(month, 'YYYYMM');
  total CONSTANT text := 'SELECT count(*) AS rows, coalesce(sum(volume::numeric), 0) AS volume,
    sum(hashtextextended(symbol, public.bar_hash(date, open, high, low, close, volume, vwap, trades))) AS hash
    FROM public.%I WHERE date >= $1 AND date < $2';
  is_archived boolean;
  expected record;
  archived record;
BEGIN
  IF next_month > least(cutoff, date_trunc('month', now() AT TIME ZONE 'America/New_York')::date) THEN
    RAISE EXCEPTION 'the month of % is not wholly before the cutoff, %, and the current month', month, cutoff
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- A snapshot that is older than the locks would not have the bars of a writer that finished in between.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'archiving in a transaction that is %: expected read committed', current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  -- Whoever waits for a table keeps all that come later waiting.
  IF current_setting('lock_timeout') = '0' THEN
    SET LOCAL lock_timeout = '5s';
  END IF;

  -- Those who write by route_ohlcv_months have a lock on this row.
  SELECT archived_at IS NOT NULL INTO is_archived
  FROM public.ohlcv_months WHERE month = archive_ohlcv_month.month FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  ELSIF is_archived THEN
    RETURN QUERY SELECT rows, volume FROM public.data_retention_log
      WHERE run = archive_ohlcv_month.run AND month = archive_ohlcv_month.month AND status = 'archived';
    RETURN;
  END IF;
  -- Nor does anybody write without.
  EXECUTE format('LOCK TABLE public.%I IN SHARE ROW EXCLUSIVE MODE', partition);

  IF EXISTS (SELECT FROM public.raw_ohlcv_archive WHERE date >= archive_ohlcv_month.month AND date < next_month) THEN
    RAISE EXCEPTION 'raw_ohlcv_archive has bars of %, which is not archived', to_char(month, 'YYYY-MM')
      USING ERRCODE = 'data_corrupted';
  END IF;
  EXECUTE format('INSERT INTO public.raw_ohlcv_archive (symbol, date, open, high, low, close, volume, vwap, trades)
    SELECT symbol, date, open, high, low, close, volume, vwap, trades FROM public.%I ORDER BY symbol, date', partition);
  EXECUTE format(total, partition) INTO expected USING month, next_month;
  EXECUTE format(total, 'raw_ohlcv_archive') INTO archived USING month, next_month;
  IF archived IS DISTINCT FROM expected THEN
    RAISE EXCEPTION 'the copy of % is not the same: expected %, found % (rows, volume, sum of hashes)',
      to_char(month, 'YYYY-MM'), expected, archived USING ERRCODE = 'data_corrupted';
  END IF;

  UPDATE public.ohlcv_months SET archived_at = now() WHERE month = archive_ohlcv_month.month;
  INSERT INTO public.data_retention_log (run, month, cutoff, status, rows, volume)
  VALUES (archive_ohlcv_month.run, archive_ohlcv_month.month, archive_ohlcv_month.cutoff, 'archived', expected.rows, expected.volume);
  -- Last: from here until the transaction ends nobody reads raw_ohlcv.
  EXECUTE format('DROP TABLE public.%I', partition);
  RETURN QUERY SELECT expected.rows, expected.volume;
END $$;
REVOKE EXECUTE ON FUNCTION archive_ohlcv_month FROM PUBLIC;

-- Keeps in the log that a month could not be archived.
CREATE FUNCTION log_archive_failure(month date, cutoff date, run uuid, error text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  INSERT INTO public.data_retention_log (run, month, cutoff, status, error) VALUES (run, month, cutoff, 'failed', error);
END;
REVOKE EXECUTE ON FUNCTION log_archive_failure FROM PUBLIC;

-- Bars in raw_ohlcv, by month.
CREATE VIEW v_raw_ohlcv_data_distribution AS
SELECT m.month, b.rows, b.symbols, b.volume, b.first_date, b.last_date,
  pg_total_relation_size(to_regclass('public.raw_ohlcv_' || to_char(m.month, 'YYYYMM'))) AS bytes
FROM ohlcv_months AS m CROSS JOIN LATERAL (
  SELECT count(*) AS rows, count(DISTINCT symbol) AS symbols, coalesce(sum(volume::numeric), 0) AS volume,
    min(date) AS first_date, max(date) AS last_date
  FROM raw_ohlcv WHERE date >= m.month AND date < (m.month + interval '1 month')::date
) AS b
WHERE m.archived_at IS NULL;

-- What the archive has.
CREATE VIEW v_archive_statistics AS
SELECT count(*) AS rows, count(DISTINCT symbol) AS symbols, coalesce(sum(volume::numeric), 0) AS volume,
  min(date) AS first_date, max(date) AS last_date, max(archived_at) AS last_archived_at,
  pg_total_relation_size('raw_ohlcv_archive') AS bytes
FROM raw_ohlcv_archive;

-- The last 20 runs that had something to do.
CREATE VIEW v_retention_log_summary AS
SELECT run, min(cutoff) AS cutoff, min(run_by) AS run_by, min(started_at) AS started_at, max(finished_at) AS finished_at,
  count(*) FILTER (WHERE status = 'archived') AS archived, count(*) FILTER (WHERE status = 'failed') AS failed,
  min(month) AS first_month, max(month) AS last_month, coalesce(sum(rows), 0) AS rows, coalesce(sum(volume), 0) AS volume,
  (array_agg(error ORDER BY id DESC) FILTER (WHERE error IS NOT NULL))[1] AS error
FROM data_retention_log
GROUP BY run
ORDER BY max(id) DESC
LIMIT 20;

-- Archives all months that are wholly before the cutoff, the oldest first, each in a transaction of its own: it may be stopped
-- anywhere and run again. Those that fail are in the log and the others go on; it ends with an error then. A dry run says what
-- would be archived.
CREATE PROCEDURE archive_old_ohlcv_data(cutoff date, dry_run boolean DEFAULT true)
LANGUAGE plpgsql
AS $$
DECLARE
  run CONSTANT uuid := gen_random_uuid();
  month date;
  done record;
  failed integer := 0;
BEGIN
  IF (cutoff <= date_trunc('month', now() AT TIME ZONE 'America/New_York')) IS NOT TRUE THEN
    RAISE EXCEPTION 'the cutoff is %: expected the first day of the current month at the latest', cutoff
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF dry_run IS NOT FALSE THEN
    FOR done IN SELECT d.month, d.rows, d.volume FROM public.v_raw_ohlcv_data_distribution AS d
      WHERE d.month + interval '1 month' <= cutoff ORDER BY d.month
    LOOP
      RAISE NOTICE '% would be archived: % rows, volume %', pg_catalog.to_char(done.month, 'YYYY-MM'), done.rows, done.volume;
    END LOOP;
    RETURN;
  END IF;
  FOREACH month IN ARRAY ARRAY(
    SELECT o.month FROM public.ohlcv_months AS o
    WHERE o.archived_at IS NULL AND o.month + interval '1 month' <= cutoff ORDER BY o.month
  ) LOOP
    BEGIN
      FOR done IN SELECT rows, volume FROM public.archive_ohlcv_month(month, cutoff, run) LOOP
        RAISE NOTICE '% archived: % rows, volume %', pg_catalog.to_char(month, 'YYYY-MM'), done.rows, done.volume;
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      failed := failed + 1;
      RAISE WARNING '%: %', pg_catalog.to_char(month, 'YYYY-MM'), SQLERRM;
      PERFORM public.log_archive_failure(month, cutoff, run, SQLERRM);
    END;
    COMMIT;
  END LOOP;
  IF failed > 0 THEN
    RAISE EXCEPTION '% could not be archived', CASE failed WHEN 1 THEN 'a month' ELSE failed || ' months' END
      USING HINT = 'data_retention_log has the reasons; run it again.', ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
END $$;
REVOKE EXECUTE ON PROCEDURE archive_old_ohlcv_data FROM PUBLIC;

-- Down Migration

-- Bars of archived months are nowhere else in the database, and going on down drops the archive.
DO $$
DECLARE
  months bigint;
BEGIN
  LOCK TABLE ohlcv_months IN SHARE ROW EXCLUSIVE MODE;
  SELECT count(*) INTO months FROM ohlcv_months WHERE archived_at IS NOT NULL;
  IF months > 0 OR EXISTS (SELECT FROM raw_ohlcv_archive) THEN
    RAISE EXCEPTION 'raw_ohlcv_archive has the only bars of % archived months', months
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Copy them elsewhere; then empty raw_ohlcv_archive and delete the archived months from ohlcv_months.';
  END IF;
END $$;
DROP PROCEDURE archive_old_ohlcv_data;
DROP VIEW v_retention_log_summary, v_archive_statistics, v_raw_ohlcv_data_distribution;
DROP FUNCTION log_archive_failure, archive_ohlcv_month;
DROP TABLE data_retention_log;
