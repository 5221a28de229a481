"""Openings and lines that everybody knows: a phrase made of them is guessed first, however long it is.

Our own selection of quotations, proverbs, rhymes, titles, film and song lines (a few words each) and rows that are
recited (months, planets). One a line, in canonical form (tested). Runs of `RUN` words are what counts, so a line
that is misquoted at one end, or quoted inside a longer phrase, is still found.
"""

from typing import Final

__all__ = ["KNOWN_RUNS", "LINES", "RUN"]

RUN: Final = 4

_TEXT: Final = """
to be or not to be that is the question
all the worlds a stage and all the men and women merely players
friends romans countrymen lend me your ears
romeo romeo wherefore art thou romeo
a rose by any other name would smell as sweet
now is the winter of our discontent
shall i compare thee to a summers day
if music be the food of love play on
double double toil and trouble fire burn and cauldron bubble
tomorrow and tomorrow and tomorrow creeps in this petty pace
out out brief candle lifes but a walking shadow
is this a dagger which i see before me
something is rotten in the state of denmark
the lady doth protest too much methinks
what a piece of work is a man
alas poor yorick i knew him well horatio
to thine own self be true
neither a borrower nor a lender be
brevity is the soul of wit
the course of true love never did run smooth
lord what fools these mortals be
once more unto the breach dear friends once more
we few we happy few we band of brothers
a horse a horse my kingdom for a horse
all that glitters is not gold
the quality of mercy is not strained
we are such stuff as dreams are made on
my mistress eyes are nothing like the sun
parting is such sweet sorrow
good night good night parting is such sweet sorrow
it was the best of times it was the worst of times
call me ishmael some years ago never mind how long
it is a truth universally acknowledged that a single man
happy families are all alike every unhappy family is unhappy
it was a bright cold day in april and the clocks were striking thirteen
in a hole in the ground there lived a hobbit
last night i dreamt i went to manderley again
it was a dark and stormy night
many years later as he faced the firing squad
all animals are equal but some animals are more equal than others
big brother is watching you
war is peace freedom is slavery ignorance is strength
one ring to rule them all one ring to find them
not all those who wander are lost
all we have to decide is what to do with the time
it is our choices that show what we truly are
i solemnly swear that i am up to no good
the boy who lived had come to die
please sir i want some more
god bless us every one
elementary my dear watson
the game is afoot
when you have eliminated the impossible whatever remains however improbable must be the truth
two roads diverged in a yellow wood and i
i took the one less traveled by and that has made all the difference
miles to go before i sleep and miles to go before i sleep
do not go gentle into that good night
rage rage against the dying of the light
because i could not stop for death he kindly stopped for me
hope is the thing with feathers that perches in the soul
once upon a midnight dreary while i pondered weak and weary
quoth the raven nevermore
tyger tyger burning bright in the forests of the night
i wandered lonely as a cloud that floats on high
water water everywhere nor any drop to drink
in xanadu did kubla khan a stately pleasure dome decree
shall i part my hair behind do i dare to eat a peach
april is the cruellest month
this is the way the world ends not with a bang but a whimper
if you can keep your head when all about you
half a league half a league half a league onward
into the valley of death rode the six hundred
theirs not to reason why theirs but to do and die
tis better to have loved and lost than never to have loved at all
how do i love thee let me count the ways
she walks in beauty like the night
a thing of beauty is a joy forever
o captain my captain our fearful trip is done
i think that i shall never see a poem lovely as a tree
twas brillig and the slithy toves did gyre and gimble
the time has come the walrus said to talk of many things
twas the night before christmas when all through the house
not a creature was stirring not even a mouse
i do not like green eggs and ham i do not like them sam i am
one fish two fish red fish blue fish
twinkle twinkle little star how i wonder what you are
up above the world so high like a diamond in the sky
mary had a little lamb its fleece was white as snow
humpty dumpty sat on a wall humpty dumpty had a great fall
all the kings horses and all the kings men
jack and jill went up the hill to fetch a pail of water
baa baa black sheep have you any wool
hickory dickory dock the mouse ran up the clock
hey diddle diddle the cat and the fiddle the cow jumped over the moon
little miss muffet sat on a tuffet eating her curds and whey
little bo peep has lost her sheep
little jack horner sat in a corner
london bridge is falling down falling down falling down
row row row your boat gently down the stream
merrily merrily merrily merrily life is but a dream
the itsy bitsy spider climbed up the water spout
the incy wincy spider climbed up the water spout
down came the rain and washed the spider out
rain rain go away come again another day
ring around the rosie a pocket full of posies
sing a song of sixpence a pocket full of rye
four twenty blackbirds baked in a pie
three blind mice see how they run
the wheels on the bus go round and round
old macdonald had a farm
if youre happy and you know it clap your hands
rock a bye baby on the tree top
hush little baby dont say a word
pat a cake pat a cake bakers man
this little piggy went to market this little piggy stayed home
star light star bright first star i see tonight
roses are red violets are blue sugar is sweet and so are you
head shoulders knees and toes knees and toes
heads shoulders knees and toes knees and toes
happy birthday to you happy birthday to you
peter piper picked a peck of pickled peppers
she sells sea shells by the sea shore
she sells seashells by the seashore
how much wood would a woodchuck chuck if a woodchuck could chuck wood
the quick brown fox jumps over the lazy dog
the quick brown fox jumped over the lazy dog
pack my box with five dozen liquor jugs
correct horse battery staple
now is the time for all good men to come to the aid of the party
the rain in spain stays mainly in the plain
lorem ipsum dolor sit amet consectetur adipiscing elit
an apple a day keeps the doctor away
early to bed and early to rise makes a man healthy wealthy and wise
the early bird catches the worm
the early bird gets the worm but the second mouse gets the cheese
a bird in the hand is worth two in the bush
birds of a feather flock together
dont count your chickens before they hatch
dont put all your eggs in one basket
you cant teach an old dog new tricks
a picture is worth a thousand words
actions speak louder than words
the pen is mightier than the sword
when in rome do as the romans do
rome wasnt built in a day
all roads lead to rome
a journey of a thousand miles begins with a single step
give a man a fish and you feed him for a day
where there is a will there is a way
where theres a will theres a way
where there is smoke there is fire
if at first you dont succeed try try again
two wrongs dont make a right
people in glass houses shouldnt throw stones
a rolling stone gathers no moss
absence makes the heart grow fonder
beauty is in the eye of the beholder
you can lead a horse to water but you cant make it drink
the grass is always greener on the other side
dont judge a book by its cover
never look a gift horse in the mouth
the best things in life are free
when life gives you lemons make lemonade
you cant have your cake and eat it too
better late than never but never late is better
good things come to those who wait
its no use crying over spilt milk
there is no use crying over spilled milk
the road to hell is paved with good intentions
what doesnt kill you makes you stronger
that which does not kill us makes us stronger
keep your friends close and your enemies closer
fool me once shame on you fool me twice shame on me
sticks and stones may break my bones but words will never hurt me
red sky at night sailors delight red sky in morning sailors take warning
a stitch in time saves nine
curiosity killed the cat but satisfaction brought it back
every cloud has a silver lining
the squeaky wheel gets the grease
too many cooks spoil the broth
an eye for an eye makes the whole world blind
no man is an island entire of itself
ask not for whom the bell tolls it tolls for thee
the only thing we have to fear is fear itself
ask not what your country can do for you
i have a dream that one day this nation will rise up
i have a dream that my four little children
four score and seven years ago our fathers brought forth
government of the people by the people for the people
we hold these truths to be self evident that all men are created equal
life liberty and the pursuit of happiness
we the people of the united states in order to form a more perfect union
i pledge allegiance to the flag of the united states of america
give me liberty or give me death
i came i saw i conquered
one small step for man one giant leap for mankind
thats one small step for a man one giant leap for mankind
houston we have a problem
we shall fight on the beaches we shall fight on the landing grounds
never in the field of human conflict was so much owed by so many to so few
i have nothing to offer but blood toil tears and sweat
mister gorbachev tear down this wall
be the change you wish to see in the world
i think therefore i am
the unexamined life is not worth living
i know that i know nothing
god does not play dice with the universe
if i have seen further it is by standing on the shoulders of giants
give me a lever long enough and i shall move the world
you must not fool yourself and you are the easiest person to fool
in the beginning god created the heavens and the earth
in the beginning was the word and the word was with god
let there be light and there was light
our father who art in heaven hallowed be thy name
give us this day our daily bread and forgive us our trespasses
hail mary full of grace the lord is with thee
the lord is my shepherd i shall not want
yea though i walk through the valley of the shadow of death
for god so loved the world that he gave his only begotten son
love is patient love is kind it does not envy
ashes to ashes dust to dust
blessed are the meek for they shall inherit the earth
love thy neighbor as thyself
do unto others as you would have them do unto you
to every thing there is a season and a time to every purpose under heaven
vanity of vanities all is vanity
hear o israel the lord our god the lord is one
now i lay me down to sleep i pray the lord my soul to keep
god grant me the serenity to accept the things i cannot change
amazing grace how sweet the sound that saved a wretch like me
silent night holy night all is calm all is bright
jingle bells jingle bells jingle all the way
oh what fun it is to ride in a one horse open sleigh
we wish you a merry christmas and a happy new year
rudolph the red nosed reindeer had a very shiny nose
deck the halls with boughs of holly
on the first day of christmas my true love gave to me
a partridge in a pear tree
should auld acquaintance be forgot and never brought to mind
oh say can you see by the dawns early light
o say can you see by the dawns early light
the land of the free and the home of the brave
god save the king long live our noble king
god save our gracious king long live our noble king
god save our gracious queen long live our noble queen
this land is your land this land is my land
take me out to the ball game
somewhere over the rainbow way up high
you are my sunshine my only sunshine
is this the real life is this just fantasy
imagine theres no heaven its easy if you try
hello darkness my old friend
we all live in a yellow submarine
yesterday all my troubles seemed so far away
hey jude dont make it bad
all you need is love love is all you need
i want to hold your hand
here comes the sun and i say its all right
theres a lady whos sure all that glitters is gold
i cant get no satisfaction
you cant always get what you want
the answer my friend is blowing in the wind
how many roads must a man walk down
like a bridge over troubled water
take me home country roads to the place i belong
on a dark desert highway cool wind in my hair
just a small town girl living in a lonely world
dont stop believing hold on to that feeling
sweet home alabama where the skies are so blue
never gonna give you up never gonna let you down
we will we will rock you
we are the champions my friends
another one bites the dust
i will always love you
my heart will go on and on
hit me baby one more time
let it go let it go the cold never bothered me anyway
a whole new world a dazzling place i never knew
hakuna matata it means no worries
the hills are alive with the sound of music
raindrops on roses and whiskers on kittens
i believe i can fly i believe i can touch the sky
what is love baby dont hurt me dont hurt me no more
every breath you take every move you make
i still havent found what im looking for
smoke on the water a fire in the sky
with the lights out its less dangerous
may the force be with you always
luke i am your father no i am your father
a long time ago in a galaxy far far away
these arent the droids youre looking for
help me obi wan kenobi youre my only hope
do or do not there is no try
fear leads to anger anger leads to hate hate leads to suffering
frankly my dear i dont give a damn
heres looking at you kid
of all the gin joints in all the towns in all the world
play it again sam play as time goes by
round up the usual suspects
louis i think this is the beginning of a beautiful friendship
toto ive a feeling were not in kansas anymore
theres no place like home theres no place like home
follow the yellow brick road
im gonna make him an offer he cant refuse
leave the gun take the cannoli
you talking to me are you talking to me
i love the smell of napalm in the morning
you cant handle the truth
show me the money
you had me at hello
life is like a box of chocolates you never know what youre gonna get
mama always said life was like a box of chocolates
my name is forrest forrest gump
ill be back hasta la vista baby
i see dead people all the time
ill have what shes having
youre gonna need a bigger boat
im the king of the world
the name is bond james bond
my name is bond james bond
roads where were going we dont need roads
to infinity and beyond
just keep swimming just keep swimming
hello my name is inigo montoya you killed my father prepare to die
the first rule of fight club is you do not talk about fight club
open the pod bay doors hal
im sorry dave im afraid i cant do that
all those moments will be lost in time like tears in rain
with great power comes great responsibility
why so serious lets put a smile on that face
you either die a hero or live long enough to see yourself become the villain
you shall not pass
my precious my precious my precious
winter is coming and the night is dark and full of terrors
space the final frontier these are the voyages of the starship enterprise
to boldly go where no man has gone before
to boldly go where no one has gone before
live long and prosper
beam me up scotty
the truth is out there i want to believe
in the criminal justice system the people are represented by
you have the right to remain silent anything you say can be used against you
by the power of grayskull i have the power
mirror mirror on the wall whos the fairest of them all
fee fi fo fum i smell the blood of an englishman
little pig little pig let me come in
who has been sleeping in my bed
once upon a time in a land far far away there lived
and they all lived happily ever after
open sesame and close sesame
dont panic and always carry a towel
so long and thanks for all the fish
the answer to life the universe and everything is forty two
it is the unknown we fear when we look upon death and darkness nothing more
keep calm and carry on
live laugh love dance as though nobody is watching
home is where the heart is
shoot for the moon even if you miss youll land among the stars
in case of emergency break glass
this is not the password you are looking for
my voice is my passport verify me
the password is the word password in capital letters
let me in let me in let me in
open the secret vault for me please
this is my secret phrase to open the vault
january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday monday
sunday monday tuesday wednesday thursday friday saturday sunday
mercury venus earth mars jupiter saturn uranus neptune pluto
red orange yellow green blue indigo violet
my very educated mother just served us nine pizzas
richard of york gave battle in vain
aries taurus gemini cancer leo virgo libra scorpio sagittarius capricorn aquarius pisces
alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar
mike november oscar papa quebec romeo sierra tango uniform victor whiskey x ray yankee zulu
able baker charlie dog easy fox george how item jig king love mike
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu
a b c d e f g h i j k l m n o p q r s t u v w x y z
do re mi fa so la ti do
spring summer autumn winter spring summer fall winter
north south east west north east south west
matthew mark luke john acts romans
"""
LINES: Final = tuple(_TEXT.strip().splitlines())

KNOWN_RUNS: Final = frozenset(
    tuple(words[start : start + RUN]) for words in map(str.split, LINES) for start in range(len(words) - RUN + 1)
)
