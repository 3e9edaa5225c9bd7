// SPDX-License-Identifier: LGPL-2.1-or-later
// Goroutines that are preempted by signals, channels, garbage, cryptography, faults.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct {
	l, r *node
	v    int
}

func build(d int) *node {
	if d == 0 {
		return &node{v: 1}
	}
	return &node{build(d - 1), build(d - 1), d}
}
func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.v + n.l.sum() + n.r.sum()
}
func main() {
	runtime.GOMAXPROCS(4)
	var stop int32
	var spins [4]uint64
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			x := uint64(i)
			for atomic.LoadInt32(&stop) == 0 {
				for k := 0; k < 1000000; k++ {
					x = x*6364136223846793005 + 1442695040888963407
				}
				spins[i] = x | 1
			}
		}(i)
	}
	for i := 0; i < 20; i++ {
		runtime.GC()
		time.Sleep(2 * time.Millisecond)
	}
	atomic.StoreInt32(&stop, 1)
	wg.Wait()
	ok := 0
	for _, s := range spins {
		if s != 0 {
			ok++
		}
	}
	fmt.Println("spinners", ok)
	ch := make(chan int)
	res := make(chan int)
	for w := 0; w < 8; w++ {
		go func() {
			s := 0
			for v := range ch {
				s += v * v % 7
			}
			res <- s
		}()
	}
	for i := 0; i < 200000; i++ {
		ch <- i
	}
	close(ch)
	t := 0
	for w := 0; w < 8; w++ {
		t += <-res
	}
	fmt.Println("channels", t)
	var mu sync.Mutex
	m := map[int]int{}
	for w := 0; w < 4; w++ {
		wg.Add(1)
		go func(w int) {
			defer wg.Done()
			for i := 0; i < 50000; i++ {
				mu.Lock()
				m[(i*w)%1000]++
				mu.Unlock()
			}
		}(w)
	}
	wg.Wait()
	s := 0
	for k, v := range m {
		s += k * v
	}
	fmt.Println("map", s)
	debug.SetGCPercent(20)
	tot := 0
	for i := 0; i < 20; i++ {
		tot += build(14).sum()
	}
	fmt.Println("tree", tot)
	data := make([]byte, 3000001)
	x := uint32(1)
	for i := range data {
		x = x*1103515245 + 12345
		data[i] = byte(x >> 16)
	}
	fmt.Printf("%x %x %x %x\n", sha256.Sum256(data), sha512.Sum512(data), md5.Sum(data), crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	blk, _ := aes.NewCipher(data[:32])
	gcm, _ := cipher.NewGCM(blk)
	sealed := gcm.Seal(nil, data[:12], data, nil)
	fmt.Printf("%x\n", sha256.Sum256(sealed))
	_, err := gcm.Open(nil, data[:12], sealed, nil)
	fmt.Println(err)
	key := ed25519.NewKeyFromSeed(data[:32])
	sig := ed25519.Sign(key, data)
	fmt.Printf("%x %v\n", sig, ed25519.Verify(key.Public().(ed25519.PublicKey), data, sig))
	b := big.NewInt(1)
	for i := int64(1); i < 3000; i++ {
		b.Mul(b, big.NewInt(i))
	}
	fmt.Println(len(b.String()), new(big.Int).Exp(big.NewInt(3), b, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 521), big.NewInt(1))))
	f := 0.0
	for i := 1; i < 300000; i++ {
		f += math.Sin(float64(i))*math.Log(float64(i)) + math.FMA(f, 1e-9, 1) + math.Floor(math.Sqrt(float64(i)))
	}
	fmt.Printf("%.17g\n", f)
	words := []string{}
	for i := 0; i < 100000; i++ {
		x = x*1103515245 + 12345
		words = append(words, fmt.Sprintf("%x-%d", x>>8, i%97))
	}
	sort.Strings(words)
	j := strings.Join(words, " ")
	fmt.Printf("%x %d\n", sha256.Sum256([]byte(j)), len(regexp.MustCompile(`\b[a-f]+\d?-9\d\b`).FindAllString(j, -1)))
	var buf bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&buf, 9)
	zw.Write([]byte(j))
	zw.Close()
	fmt.Printf("%x\n", sha256.Sum256(buf.Bytes()))
	js, _ := json.Marshal(words[:5000])
	var back []string
	json.Unmarshal(js, &back)
	fmt.Println(len(js), len(back))
	np := 0
	for i := 0; i < 20000; i++ {
		func() {
			defer func() {
				if recover() != nil {
					np++
				}
			}()
			var p *node
			if i%2 == 0 {
				p = &node{}
			}
			p.v++
			var a [3]int
			k := i % 5
			a[k%len(a)+k/4*3]++
			_ = 10 / (i % 3)
		}()
	}
	fmt.Println("panics", np)
	c := make(chan os.Signal, 100)
	signal.Notify(c, syscall.SIGUSR1)
	n := 0
	for i := 0; i < 500; i++ {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-c
		n++
	}
	fmt.Println("signals", n)
	tk := time.NewTicker(time.Millisecond)
	last := time.Now()
	bad := 0
	for i := 0; i < 100; i++ {
		t := <-tk.C
		if t.Before(last) {
			bad++
		}
		last = t
	}
	fmt.Println("ticks", bad)
}
