package main

import (
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

func marksOf(dir string) (out []mark, err error) {
	found, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	for _, one := range found {
		out = append(out, mark{one.GetIndex(), one.GetTerm()})
	}
	return out, err
}

func read(dir string, start mark) (out log, err error) {
	w, err := wal.OpenForRead(zap.NewNop(), dir, &walpb.Snapshot{Index: &start.Index, Term: &start.Term})
	if err != nil {
		return out, err
	}
	defer w.Close()
	metadata, state, entries, err := w.ReadAll()
	out = log{metadata: metadata, term: state.GetTerm(), vote: state.GetVote(), commit: state.GetCommit()}
	for _, one := range entries {
		out.entries = append(out.entries, entry{one.GetIndex(), one.GetTerm(), int32(one.GetType()), one.GetData()})
	}
	return out, err
}
