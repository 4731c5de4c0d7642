// walreader reads WAL dirs with etcd's own wal package, of the version that it is built with, and prints what it made of
// each as one line of JSON. On standard input: a line per dir, "DIR" to read from the newest snapshot that etcd would
// start from, "DIR<tab>INDEX<tab>TERM" to read from a snapshot that is named.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
)

type mark struct{ Index, Term uint64 }

type entry struct {
	index, term uint64
	kind        int32
	data        []byte
}

type log struct {
	metadata           []byte
	term, vote, commit uint64
	entries            []entry
}

type answer struct {
	Dir      string      `json:"dir"`
	Start    [2]uint64   `json:"start"`
	Metadata string      `json:"metadata"`
	State    [3]uint64   `json:"state"`
	Entries  [][4]uint64 `json:"entries"`
	Marks    [][2]uint64 `json:"marks"`
	Error    string      `json:"error"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func look(line string) (out answer) {
	words := strings.Split(line, "\t")
	out = answer{Dir: words[0], Entries: [][4]uint64{}, Marks: [][2]uint64{}}
	defer func() {
		if err := recover(); err != nil {
			out.Error = fmt.Sprint("panic: ", err)
		}
	}()
	marks, err := marksOf(words[0])
	if err != nil {
		out.Error = err.Error()
		return out
	}
	var start mark
	for _, one := range marks {
		out.Marks = append(out.Marks, [2]uint64{one.Index, one.Term})
		start = one
	}
	if len(words) == 3 {
		start.Index, _ = strconv.ParseUint(words[1], 10, 64)
		start.Term, _ = strconv.ParseUint(words[2], 10, 64)
	}
	out.Start = [2]uint64{start.Index, start.Term}
	found, err := read(words[0], start)
	if err != nil {
		out.Error = err.Error()
	}
	out.Metadata = hex.EncodeToString(found.metadata)
	out.State = [3]uint64{found.term, found.vote, found.commit}
	for _, one := range found.entries {
		sum := uint64(crc32.Checksum(one.data, castagnoli))
		out.Entries = append(out.Entries, [4]uint64{one.index, one.term, uint64(one.kind), sum})
	}
	return out
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		text, err := json.Marshal(look(lines.Text()))
		if err != nil {
			panic(err)
		}
		out.Write(append(text, '\n'))
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}
