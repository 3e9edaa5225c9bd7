-- SPDX-License-Identifier: LGPL-2.1-or-later
-- A database in a file, with transactions that are undone, indexes, a full-text table, windows, floats.
.bail on
.open data.db
PRAGMA page_size = 1024;
PRAGMA cache_size = 50;
CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, weight REAL, kind INTEGER);
WITH RECURSIVE n (i, x) AS (
	SELECT 1, 12345 UNION ALL SELECT i + 1, (x * 1103515245 + 12345) % 2147483648 FROM n LIMIT 30000)
INSERT INTO thing SELECT i, printf('%x-%s', x, char(97 + x / 65536 % 26)), x / 7.0 - 1e8, x / 65536 % 50
	FROM n;
CREATE INDEX by_name ON thing (name);
CREATE INDEX by_kind ON thing (kind, weight);
SELECT count(*), sum(weight), avg(weight), min(name), max(name), total(kind) FROM thing;
SELECT kind, count(*), round(avg(weight), 6), group_concat(id % 10, '') FROM thing
	WHERE name LIKE '%a%' GROUP BY kind HAVING count(*) > 3 ORDER BY 3;
SELECT id, weight, rank() OVER (PARTITION BY kind ORDER BY weight), sum(weight) OVER (ORDER BY id
	ROWS 5 PRECEDING) FROM thing WHERE id % 397 = 0 ORDER BY id;
SELECT printf('%.17g', sqrt(abs(weight))), printf('%e', exp(kind / 3.0)), hex(name), typeof(weight / kind)
	FROM thing WHERE id < 40;
BEGIN;
UPDATE thing SET weight = -weight WHERE kind % 2;
DELETE FROM thing WHERE kind IN (SELECT kind FROM thing GROUP BY kind ORDER BY sum(weight) LIMIT 20);
SELECT count(*), sum(weight) FROM thing;
ROLLBACK;
SELECT a.id, b.id FROM thing a JOIN thing b ON a.name = b.name AND a.id < b.id ORDER BY 1 LIMIT 20;
DELETE FROM thing WHERE id % 3 = 0;
VACUUM;
CREATE VIRTUAL TABLE words USING fts5 (body);
INSERT INTO words SELECT replace(name, '-', ' ') || ' ' || kind || ' kelvin' FROM thing WHERE id < 9000;
SELECT rowid, bm25(words), highlight(words, 0, '<', '>') FROM words WHERE words MATCH 'kelvin AND a NOT 1*'
	ORDER BY 2, 1 LIMIT 30;
SELECT json_group_array(json_object('id', id, 'weight', weight)) FROM thing WHERE id < 60;
PRAGMA integrity_check;
