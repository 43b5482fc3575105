CREATE TABLE attempts (
	session TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	id TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	worker TEXT NOT NULL,
	started_at TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	PRIMARY KEY (session, iteration, id, attempt)
);
CREATE TABLE durations (
	loop TEXT NOT NULL,
	id TEXT NOT NULL,
	duration_s FLOAT NOT NULL,
	PRIMARY KEY (loop, id)
);
CREATE TABLE entries (
	session TEXT NOT NULL,
	timestamp TEXT NOT NULL,
	log TEXT NOT NULL,
	insert_id TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	severity TEXT NOT NULL,
	service TEXT NOT NULL,
	revision TEXT NOT NULL,
	trace_id TEXT,
	tests TEXT NOT NULL,
	request TEXT,
	message TEXT NOT NULL,
	payload TEXT,
	PRIMARY KEY (session, timestamp, log, insert_id)
);
CREATE INDEX entries_of_iteration ON entries (session, iteration, timestamp);
CREATE TABLE events (
	session TEXT NOT NULL,
	seq INTEGER NOT NULL,
	at TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	phase TEXT,
	attempt INTEGER NOT NULL,
	event TEXT NOT NULL,
	outcome TEXT,
	hash TEXT NOT NULL,
	detail TEXT NOT NULL,
	PRIMARY KEY (session, seq)
);
CREATE TABLE findings (
	session TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	id TEXT NOT NULL,
	position INTEGER NOT NULL,
	state TEXT NOT NULL,
	cause TEXT NOT NULL,
	symptom TEXT NOT NULL,
	signature TEXT NOT NULL,
	title TEXT NOT NULL,
	impact TEXT,
	tests TEXT NOT NULL,
	first_iteration INTEGER NOT NULL,
	last_iteration INTEGER NOT NULL,
	root_cause TEXT,
	stage TEXT,
	whys TEXT NOT NULL,
	claims TEXT NOT NULL,
	PRIMARY KEY (session, iteration, id)
);
CREATE TABLE results (
	session TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	id TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	tier TEXT,
	outcome TEXT NOT NULL,
	duration_s FLOAT NOT NULL,
	started_at TEXT NOT NULL,
	worker TEXT NOT NULL,
	revision TEXT,
	trace_id TEXT NOT NULL,
	flaky BOOLEAN NOT NULL,
	authenticity TEXT NOT NULL,
	reasons TEXT NOT NULL,
	stage TEXT,
	symptom TEXT,
	message TEXT,
	body BLOB,
	PRIMARY KEY (session, iteration, id, attempt)
);
CREATE TABLE selection (
	session TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	id TEXT NOT NULL,
	tier TEXT,
	position INTEGER NOT NULL,
	reason TEXT NOT NULL,
	path TEXT,
	line INTEGER,
	PRIMARY KEY (session, iteration, id)
);
CREATE TABLE sessions (
	id TEXT NOT NULL,
	ordinal INTEGER NOT NULL,
	loop TEXT NOT NULL,
	environment TEXT NOT NULL,
	state TEXT NOT NULL,
	iteration INTEGER NOT NULL,
	phase TEXT,
	started_at TEXT NOT NULL,
	updated_at TEXT NOT NULL,
	exit_code INTEGER,
	epoch INTEGER NOT NULL,
	last_seq INTEGER NOT NULL,
	last_hash TEXT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (ordinal)
);
