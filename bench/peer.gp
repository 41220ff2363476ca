# peer.gp - the plot of bench/peer.sh: gnuplot -e "figures='FILE'; picture='FILE.svg'" peer.gp
# FILE: a block for each model, BERT-base and MiniLM; in a line the work and, in f32 and then in bf16, tokens per second of
# libpeft, of PEFT, and at the machine's limit.
set terminal svg size 1000,420 dynamic background rgb "white" font "sans-serif,13"
set output picture
set multiplot
set style fill solid
set border 3
set tics nomirror out scale 0.5
set grid ytics linecolor rgb "#dddddd"
set yrange [0:*]
set format y "%.0f"
set tmargin 3
set bmargin 5.5
set key tmargin center horizontal Left reverse samplen 1 maxrows 2

width = 0.2
left(k) = $0 + (k - 2) * width # of the k-th bar of a group
wrapped(work) = sprintf("%s\n%s", work[1:strstrt(work, ", ")], work[strstrt(work, ", ") + 2:*])

do for [block = 0:1] {
    set lmargin at screen (block ? 0.40 : 0.07)
    set rmargin at screen (block ? 0.99 : 0.34)
    set xrange [-0.5:(block ? 4.5 : 1.5)]
    set xlabel (block ? "MiniLM" : "BERT-base") offset 0, -1
    set title (block ? "" : "tokens per second")
    if (block) { set key } else { unset key }
    plot figures index block \
        using (left(0.5)):2:(width) with boxes linecolor rgb "#85c1e9" title "libpeft f32", \
        '' index block using (left(1.5)):3:(width) with boxes linecolor rgb "#cccccc" title "PEFT f32", \
        '' index block using (left(2.5)):5:(width) with boxes linecolor rgb "#2471a3" title "libpeft bf16", \
        '' index block using (left(3.5)):6:(width) with boxes linecolor rgb "#808080" title "PEFT bf16", \
        '' index block using (left(0)):4:(2 * width):(0) with vectors nohead linewidth 2 linecolor rgb "#c0392b" \
            title "machine's limit", \
        '' index block using (left(2)):7:(2 * width):(0) with vectors nohead linewidth 2 linecolor rgb "#c0392b" notitle, \
        '' index block using 0:(0):xtic(wrapped(strcol(1))) with dots notitle
}
unset multiplot
